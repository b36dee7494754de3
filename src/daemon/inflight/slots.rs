//! A lane: one queue's workers on this node, and what waits for them.

use std::{collections::VecDeque, time::Instant};

use crate::domain::task::{ClaimedTask, prefetch::Pace};

/// One queue's workers and what waits for them.
#[derive(Default)]
pub(in crate::daemon) struct Slots {
    pub(in crate::daemon) workers: usize,
    pub(in crate::daemon) running: usize,
    pub(in crate::daemon) claiming: usize,
    pub(in crate::daemon) waiting: VecDeque<(ClaimedTask, Instant)>,
    pub(in crate::daemon) pace: Pace,
    /// Whether there are probably more tasks than were asked for.
    pub(in crate::daemon) hungry: bool,
    /// Outside its period: nothing of it begins.
    pub(in crate::daemon) shut: bool,
}

impl Slots {
    fn ahead(&self) -> usize {
        self.pace.ahead(self.workers)
    }

    /// How many more tasks it can take. With work claimed ahead, not before half of that is used up.
    pub(in crate::daemon) fn free(&self) -> usize {
        let ahead = self.ahead();
        if self.shut {
            return 0;
        }
        if ahead > 0 && self.waiting.len() + self.claiming > ahead / 2 {
            return 0;
        }
        (self.workers + ahead).saturating_sub(self.running + self.waiting.len() + self.claiming)
    }
}
