//! Pings that wait to be sent. They are few, and old ones are dropped: a task never waits for them.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::wakers::{WakeReason, Waker, Wakers};
use crate::domain::{identity::ModuleName, notice::channel::Secret, ping::PingSignal};

/// Maximum number of pings that wait.
const MAX_WAITING: usize = 1_000;

/// A ping of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct SchedulePing {
    /// Name of the schedule.
    pub(in crate::daemon) schedule: String,
    /// What it says.
    pub(in crate::daemon) signal: PingSignal,
    /// The setting `ping_url`.
    pub(in crate::daemon) url: Secret,
    /// A sentence for people.
    pub(in crate::daemon) text: String,
}

/// The pings that wait. Clones share them.
#[derive(Clone, Default)]
pub(in crate::daemon) struct Pings {
    waiting: Arc<Mutex<VecDeque<SchedulePing>>>,
    dropped: Arc<AtomicU64>,
    pinger: Waker,
}

impl Pings {
    pub(in crate::daemon) fn new(wakers: &Wakers) -> Self {
        Self { waiting: Arc::default(), dropped: Arc::default(), pinger: wakers.of(&ModuleName::PINGER) }
    }

    /// Adds a ping. If too many wait, the oldest is dropped.
    pub(in crate::daemon) fn push(&self, ping: SchedulePing) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MAX_WAITING {
            waiting.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back(ping);
        drop(waiting);
        self.pinger.wake(WakeReason::Requested);
    }

    /// Takes the first ping of each schedule that is not `busy`, at most `most`.
    pub(in crate::daemon) fn take_first(&self, busy: &HashSet<String>, most: usize) -> Vec<SchedulePing> {
        let mut waiting = self.waiting.lock();
        let mut seen = HashSet::new();
        let mut taken = 0;
        let (first, later) = waiting.drain(..).partition(|ping| {
            let is_first = !busy.contains(&ping.schedule) && taken < most && seen.insert(ping.schedule.clone());
            taken += usize::from(is_first);
            is_first
        });
        *waiting = later;
        Vec::from(first)
    }

    /// The number of pings that were dropped because too many waited.
    pub(in crate::daemon) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether none waits.
    pub(in crate::daemon) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(schedule: &str, signal: PingSignal) -> SchedulePing {
        SchedulePing { schedule: schedule.to_owned(), signal, url: Secret("http://h".to_owned()), text: String::new() }
    }

    #[test]
    fn pings_of_a_schedule_stay_in_order() {
        let pings = Pings::default();
        for (schedule, signal) in
            [("a", PingSignal::Start), ("a", PingSignal::Success), ("b", PingSignal::Start), ("a", PingSignal::Start)]
        {
            pings.push(ping(schedule, signal));
        }
        let free = HashSet::new();
        let busy = HashSet::from(["a".to_owned()]);
        assert_eq!(pings.take_first(&free, 1), [ping("a", PingSignal::Start)]);
        assert_eq!(pings.take_first(&busy, 9), [ping("b", PingSignal::Start)]);
        assert_eq!(pings.take_first(&free, 9), [ping("a", PingSignal::Success)]);
        assert_eq!(pings.take_first(&free, 9), [ping("a", PingSignal::Start)]);
        assert!(pings.is_empty());
    }

    #[test]
    fn old_pings_are_dropped() {
        let pings = Pings::default();
        pings.push(ping("old", PingSignal::Start));
        (0..MAX_WAITING).for_each(|_| pings.push(ping("new", PingSignal::Start)));
        assert_eq!(pings.take_first(&HashSet::new(), 9), [ping("new", PingSignal::Start)]);
        assert_eq!(pings.dropped(), 1);
    }
}
