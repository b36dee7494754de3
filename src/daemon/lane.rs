//! A lane: one queue's workers on this node, and what waits for them.

use std::{collections::VecDeque, time::Instant};

use crate::domain::{credits::Pace, task::ClaimedTask};

/// One queue's workers and what waits for them.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) workers: usize,
    pub(super) running: usize,
    pub(super) claiming: usize,
    pub(super) waiting: VecDeque<(ClaimedTask, Instant)>,
    pub(super) pace: Pace,
    /// Whether there are probably more tasks than were asked for.
    pub(super) hungry: bool,
    /// Outside its period: nothing of it begins.
    pub(super) shut: bool,
}

impl Lane {
    fn ahead(&self) -> usize {
        self.pace.ahead(self.workers)
    }

    /// How many more tasks it can take. With work claimed ahead, not before half of that is used up.
    pub(super) fn free(&self) -> usize {
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
