//! The tasks that failed on this node, for the exit code of `run --once`.

use std::collections::BTreeSet;

use sexton_entities::states::{Outcome, Verdict};

use crate::domain::task::FinishedAttempt;

/// A long-lived daemon remembers no more.
const MAX_REMEMBERED: usize = 1_000;

/// The tasks whose latest attempt failed, and those that were discarded without one.
#[derive(Debug, Default)]
pub(super) struct FailedTasks {
    failed: BTreeSet<i64>,
    discarded: u64,
}

impl FailedTasks {
    /// An attempt has ended.
    pub(super) fn note(&mut self, finished: &FinishedAttempt) {
        let id = finished.claim.task_id;
        match (finished.verdict, finished.outcome) {
            (Some(Verdict::Completed), _) => {
                self.failed.remove(&id);
            }
            (Some(Verdict::Retry), Outcome::Snoozed) => {}
            (Some(Verdict::Discarded | Verdict::Retry), _) if self.failed.len() < MAX_REMEMBERED => {
                self.failed.insert(id);
            }
            _ => {}
        }
    }

    /// Notes how many tasks were discarded without an attempt.
    pub(super) fn note_discarded(&mut self, tasks: u64) {
        self.discarded = self.discarded.saturating_add(tasks);
    }

    /// Their number; of those that failed, up to a thousand.
    pub(super) fn count(&self) -> usize {
        self.failed.len().saturating_add(usize::try_from(self.discarded).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{identity::NodeId, task::ClaimedTask};

    #[test]
    fn a_task_has_failed_until_it_succeeds() {
        let mut failed = FailedTasks::default();
        let mut end = |id, outcome, verdict| {
            let task = ClaimedTask::sample(id);
            let ended =
                task.interrupted(&NodeId::from("n"), None, "", chrono::DateTime::UNIX_EPOCH, Default::default());
            failed.note(&FinishedAttempt { outcome, verdict: Some(verdict), ..ended });
            failed.count()
        };
        assert_eq!(end(1, Outcome::Succeeded, Verdict::Completed), 0);
        assert_eq!(end(1, Outcome::Snoozed, Verdict::Retry), 0);
        assert_eq!(end(1, Outcome::Interrupted, Verdict::Released), 0);
        assert_eq!(end(1, Outcome::Cancelled, Verdict::Cancelled), 0);
        assert_eq!(end(1, Outcome::Failed, Verdict::Retry), 1);
        assert_eq!(end(2, Outcome::Failed, Verdict::Discarded), 2);
        assert_eq!(end(1, Outcome::Succeeded, Verdict::Completed), 1);
        failed.note_discarded(2);
        assert_eq!(failed.count(), 3);
    }
}
