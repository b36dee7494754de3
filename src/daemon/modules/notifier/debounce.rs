//! Debounce: a problem wakes the notifier soon, and many occurrences of problems are one round.

use std::time::{Duration, Instant};

use crate::daemon::state::wakers::{WakeReason, WakeReasons};

/// The shortest time between two rounds that problems wake.
const APART: Duration = Duration::from_secs(5);
/// How long it waits for further occurrences after the first one.
const GATHER: Duration = Duration::from_secs(1);

/// When the next round is due that a problem has woken.
#[derive(Default)]
pub(super) struct Debounce {
    /// When the last round began that problems had woken.
    woken_at: Option<Instant>,
    due_at: Option<Instant>,
}

impl Debounce {
    /// Whether a round does nothing, because only problems have woken it, and it has not gathered for long enough. Rounds that
    /// problems wake are at least [`APART`] apart.
    pub(super) fn waits(&mut self, reasons: WakeReasons, now: Instant) -> bool {
        if reasons.is_only(WakeReason::ProblemSeen) {
            let last = self.woken_at.map_or(now, |at| at + APART);
            let due_at = *self.due_at.get_or_insert_with(|| last.max(now + GATHER));
            if now < due_at {
                return true;
            }
        }
        if self.due_at.take().is_some() {
            self.woken_at = Some(now);
        }
        false
    }

    /// The time until the round that a problem has woken; none if none has.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        self.due_at.map(|at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::state::wakers::Waker;

    fn woken_by(reasons: &[WakeReason]) -> WakeReasons {
        let waker = Waker::default();
        reasons.iter().for_each(|reason| waker.wake(*reason));
        waker.take()
    }

    #[test]
    fn ten_thousand_occurrences_in_a_minute_are_a_dozen_rounds() {
        let (mut debounce, begin, seen) = (Debounce::default(), Instant::now(), woken_by(&[WakeReason::ProblemSeen]));
        let at = |millis: u64| begin + Duration::from_millis(millis);
        assert!(debounce.waits(seen, at(0)), "it gathers");
        assert_eq!(debounce.rest(at(400)), Some(Duration::from_millis(600)));
        assert!(debounce.waits(seen, at(999)), "a further one does not put it off");
        assert!(!debounce.waits(WakeReasons::default(), at(1_000)), "the time is over");
        assert_eq!(debounce.rest(at(1_000)), None);
        let rounds = (1_000..61_000).step_by(6).filter(|millis| !debounce.waits(seen, at(*millis))).count();
        assert!(rounds <= 12, "{rounds}");
    }

    #[test]
    fn the_first_problem_after_a_quiet_time_waits_a_second_only() {
        let (mut debounce, begin, seen) = (Debounce::default(), Instant::now(), woken_by(&[WakeReason::ProblemSeen]));
        assert!(!debounce.waits(WakeReasons::default(), begin), "its own round");
        assert!(debounce.waits(seen, begin));
        assert_eq!(debounce.rest(begin), Some(GATHER), "whenever the last round was");
    }

    #[test]
    fn what_is_asked_for_is_done_at_once() {
        let (mut debounce, now) = (Debounce::default(), Instant::now());
        assert!(!debounce.waits(woken_by(&[WakeReason::ProblemSeen, WakeReason::Requested]), now));
        assert!(!debounce.waits(WakeReasons::default(), now));
        assert!(debounce.waits(woken_by(&[WakeReason::ProblemSeen]), now));
        assert!(!debounce.waits(woken_by(&[WakeReason::Requested]), now), "also while it gathers");
        assert_eq!(debounce.rest(now), None, "that round has looked at all");
    }
}
