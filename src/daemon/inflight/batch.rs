//! Ended attempts on their way out of the hand.

use std::path::PathBuf;

use super::InFlight;
use crate::{domain::task::FinishedAttempt, shepherd::AttemptDir};

/// Ended attempts on their way to the database. Dropped before they are there, they go back into the hand.
pub struct Batch {
    hand: InFlight,
    attempts: Vec<FinishedAttempt>,
}

impl Batch {
    pub(in crate::daemon) fn new(hand: InFlight, attempts: Vec<FinishedAttempt>) -> Self {
        Self { hand, attempts }
    }

    /// The attempts.
    pub fn attempts(&self) -> &[FinishedAttempt] {
        &self.attempts
    }

    /// They are in the database: the hand lets go of them.
    pub fn recorded(mut self) {
        let attempts = std::mem::take(&mut self.attempts);
        remove_folders(&attempts);
        self.hand.let_go(attempts.iter().map(|finished| finished.claim));
    }

    /// They are on disk: the hand knows their claims until the recorder has read them back.
    pub fn spooled(mut self, path: PathBuf) {
        remove_folders(&self.attempts);
        self.hand.note_spooled(path, &self.attempts);
        self.attempts.clear();
    }
}

/// What is recorded, or on disk in another way, need not be found again.
fn remove_folders(attempts: &[FinishedAttempt]) {
    for folder in attempts.iter().filter_map(|finished| finished.report.attempt_dir.as_ref()) {
        AttemptDir::at(folder.clone()).remove();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.attempts.is_empty() {
            self.hand.put_back(std::mem::take(&mut self.attempts));
        }
    }
}
