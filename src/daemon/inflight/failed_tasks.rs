//! The tasks that failed on this node, for the exit code of `run --once`.

use std::collections::BTreeSet;

use sexton_entities::states::{Outcome, Verdict};

use crate::domain::task::FinishedAttempt;

/// A long-lived daemon remembers no more.
const MAX_REMEMBERED: usize = 1_000;

/// The tasks whose latest attempt failed.
#[derive(Debug, Default)]
pub(super) struct FailedTasks(BTreeSet<i64>);

impl FailedTasks {
    /// An attempt has ended.
    pub(super) fn note(&mut self, finished: &FinishedAttempt) {
        let id = finished.claim.task_id;
        match (finished.verdict, finished.outcome) {
            (Some(Verdict::Completed), _) => {
                self.0.remove(&id);
            }
            (Some(Verdict::Retry), Outcome::Snoozed) => {}
            (Some(Verdict::Discarded | Verdict::Retry), _) if self.0.len() < MAX_REMEMBERED => {
                self.0.insert(id);
            }
            _ => {}
        }
    }

    /// Their number, up to a thousand.
    pub(super) fn count(&self) -> usize {
        self.0.len()
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
    }
}
