//! The slots of one queue: its workers on this node, and the claimed tasks that wait for them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::domain::task::{ClaimedTask, prefetch_count::Pace};

/// Tasks that are short enough to be claimed ahead do not keep all workers busy for this long.
const STUCK: Duration = Duration::from_secs(1);

/// One queue's workers and what waits for them.
#[derive(Default)]
pub(super) struct Slots {
    /// How many workers the queue has on this node.
    pub(super) workers: usize,
    /// How many attempts run, adopted ones included.
    pub(super) running: usize,
    /// For how many tasks a claim is under way.
    pub(super) reserved: usize,
    /// Claimed tasks and since when they wait for a worker.
    pub(super) waiting: VecDeque<(ClaimedTask, Instant)>,
    pub(super) pace: Pace,
    /// The last claim found at least as many tasks as it asked for, or could not ask at all: there are probably more.
    pub(super) has_backlog: bool,
    /// The queue is outside its period: none of its tasks starts.
    pub(super) is_closed: bool,
    /// Since when all workers are busy and none has become free.
    pub(super) full_since: Option<Instant>,
}

impl Slots {
    /// How many more tasks may be claimed. While tasks are claimed ahead, none before half of them are used up.
    pub(super) fn free(&self) -> usize {
        if self.is_closed {
            return 0;
        }
        // While no worker becomes free, what is claimed ahead would only wait here instead of in its queue.
        let is_stuck = self.full_since.is_some_and(|since| since.elapsed() >= STUCK);
        let ahead = if is_stuck { 0 } else { self.pace.ahead(self.workers) };
        if ahead > 0 && self.waiting.len() + self.reserved > ahead / 2 {
            return 0;
        }
        (self.workers + ahead).saturating_sub(self.running + self.waiting.len() + self.reserved)
    }

    /// Whether the queue has neither workers nor tasks.
    pub(super) fn is_unused(&self) -> bool {
        self.workers + self.running + self.reserved + self.waiting.len() == 0
    }

    /// One attempt more runs.
    pub(super) fn begin_one(&mut self) {
        self.running += 1;
        self.note_load();
    }

    /// One attempt less runs.
    pub(super) fn end_one(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.note_load();
    }

    /// Notes whether a worker is free, after a change of their number or of the running attempts.
    pub(super) fn note_load(&mut self) {
        match self.workers > 0 && self.running >= self.workers {
            true => drop(self.full_since.get_or_insert_with(Instant::now)),
            false => self.full_since = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_full_while_no_worker_becomes_free() {
        let mut slots = Slots { workers: 2, ..Slots::default() };
        slots.begin_one();
        assert_eq!(slots.full_since, None);
        slots.begin_one();
        let since = slots.full_since.expect("both are busy");
        slots.note_load();
        assert_eq!(slots.full_since, Some(since));
        slots.end_one();
        assert_eq!(slots.full_since, None, "a busy queue whose tasks end is not full");
        slots.begin_one();
        assert!(slots.full_since.is_some_and(|again| again >= since));
        slots.workers = 3;
        slots.note_load();
        assert_eq!(slots.full_since, None);
        let mut none = Slots::default();
        none.begin_one();
        assert_eq!(none.full_since, None, "without workers the queue is left to other nodes");
    }
}
