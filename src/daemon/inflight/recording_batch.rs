//! Finished attempts on their way from memory to the database or to disk.

use std::path::{Path, PathBuf};

use super::claim_table::{ClaimState, InFlight};
use crate::{
    domain::task::{FinishedAttempt, claim::Claim},
    shepherd::AttemptDir,
};

/// Finished attempts on their way to the database. If it is dropped before they are recorded, they are in flight again.
pub struct Batch {
    in_flight: InFlight,
    attempts: Vec<FinishedAttempt>,
}

impl InFlight {
    /// Up to `limit` finished attempts, to be recorded.
    pub fn take_finished(&self, limit: usize) -> Batch {
        let mut table = self.lock();
        let count = table.finished.len().min(limit);
        let attempts = table.finished.drain(..count).collect();
        drop(table);
        Batch { in_flight: self.clone(), attempts }
    }

    /// Puts attempts back that could not be recorded.
    fn put_back(&self, attempts: Vec<FinishedAttempt>) {
        let mut table = self.lock();
        for finished in attempts.into_iter().rev() {
            table.finished.push_front(finished);
        }
    }

    /// Notes that finished attempts are on disk in that file.
    fn note_spooled(&self, path: PathBuf, attempts: &[FinishedAttempt]) {
        let mut table = self.lock();
        let claims: Vec<Claim> = attempts.iter().map(|finished| finished.claim).collect();
        table.claims.extend(claims.iter().map(|claim| (*claim, ClaimState::Spooled)));
        table.spooled.insert(path, claims);
    }

    /// Removes the claims of those spool files of which `is_recorded` is true.
    pub fn remove_spooled(&self, is_recorded: impl Fn(&Path) -> bool) {
        let mut table = self.lock();
        let recorded: Vec<PathBuf> = table.spooled.keys().filter(|path| is_recorded(path)).cloned().collect();
        for path in recorded {
            for claim in table.spooled.remove(&path).unwrap_or_default() {
                table.claims.remove(&claim);
            }
        }
    }
}

impl Batch {
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
    for dir in attempts.iter().filter_map(|finished| finished.report.attempt_dir.as_ref()) {
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
