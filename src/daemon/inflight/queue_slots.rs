//! The slots of one queue: its workers on this node, and the claimed tasks that wait for them.

use std::{collections::VecDeque, time::Instant};

use crate::domain::task::{ClaimedTask, prefetch_count::Pace};

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
}

impl Slots {
    /// How many more tasks may be claimed. While tasks are claimed ahead, none before half of them are used up.
    pub(super) fn free(&self) -> usize {
        if self.is_closed {
            return 0;
        }
        let ahead = self.pace.ahead(self.workers);
        if ahead > 0 && self.waiting.len() + self.reserved > ahead / 2 {
            return 0;
        }
        (self.workers + ahead).saturating_sub(self.running + self.waiting.len() + self.reserved)
    }

    /// Whether the queue has neither workers nor tasks.
    pub(super) fn is_unused(&self) -> bool {
        self.workers + self.running + self.reserved + self.waiting.len() == 0
    }

    /// One attempt less runs.
    pub(super) fn end_one(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}
