//! Finished attempts on their way from memory to the database or to disk.

use std::path::PathBuf;

use super::InFlight;
use crate::{domain::task::FinishedAttempt, shepherd::AttemptDir};

/// Finished attempts on their way to the database. If it is dropped before they are recorded, they are in flight again.
pub struct Batch {
    in_flight: InFlight,
    attempts: Vec<FinishedAttempt>,
}

impl Batch {
    pub(super) fn new(in_flight: InFlight, attempts: Vec<FinishedAttempt>) -> Self {
        Self { in_flight, attempts }
    }

    /// The attempts.
    pub fn attempts(&self) -> &[FinishedAttempt] {
        &self.attempts
    }

    /// The attempts are in the database, and no longer in flight.
    pub fn recorded(mut self) {
        let attempts = std::mem::take(&mut self.attempts);
        remove_attempt_dirs(&attempts);
        self.in_flight.remove(attempts.iter().map(|finished| finished.claim));
    }

    /// The attempts are on disk in that file, and in flight until the recorder has read it back.
    pub fn spooled(mut self, path: PathBuf) {
        remove_attempt_dirs(&self.attempts);
        self.in_flight.note_spooled(path, &self.attempts);
        self.attempts.clear();
    }
}

/// The attempts are kept elsewhere now: the adopter need not find them.
fn remove_attempt_dirs(attempts: &[FinishedAttempt]) {
    for dir in attempts.iter().filter_map(|finished| finished.report.folder.as_ref()) {
        AttemptDir::at(dir.clone()).remove();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.attempts.is_empty() {
            self.in_flight.put_back(std::mem::take(&mut self.attempts));
        }
    }
}
