//! Problems: what is wrong, from its first to its last occurrence.

pub mod fingerprint;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::states::{Outcome, ProblemKind, Verdict};
use sha2::{Digest as _, Sha256};

use self::fingerprint::fingerprint;
use super::task::FinishedAttempt;

/// A problem that comes back within this time after its end goes on: it has neither ended nor begun again.
pub const SETTLING: Duration = Duration::from_secs(300);
/// Maximum number of characters of the text that a problem keeps.
const MAX_WHAT: usize = 2_000;
/// Number of hexadecimal digits of a key.
const KEY_LENGTH: usize = 40;

/// What a problem is of, for people: `task import`, `overdue schedule nightly`.
pub fn thing(kind: ProblemKind, name: &str) -> String {
    match kind {
        ProblemKind::Overdue => format!("overdue schedule {name}"),
        ProblemKind::LongRun => format!("long run of task {name}"),
        ProblemKind::Slow | ProblemKind::Quick | ProblemKind::Silent | ProblemKind::Delayed => {
            format!("{kind} run of task {name}")
        }
        kind => format!("{kind} {name}"),
    }
}

/// Occurrences of one problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// What kind of thing it is of.
    pub kind: ProblemKind,
    /// The name of that thing.
    pub name: String,
    /// How the attempts ended; none for other kinds than tasks.
    pub outcome: Option<Outcome>,
    /// The error without what differs.
    pub fingerprint: String,
    /// What happened last.
    pub what: String,
    /// How often it occurred.
    pub times: i64,
    /// How many of these occurrences ended their task.
    pub discarded: i64,
    /// When it occurred first; none for now.
    pub first_at: Option<DateTime<Utc>>,
    /// When it occurred last; none for now.
    pub last_at: Option<DateTime<Utc>>,
    /// The task definition whose success ends it.
    pub task: Option<String>,
    /// The schedule that created the last task.
    pub schedule: Option<String>,
    /// The queue of the last task.
    pub queue: Option<String>,
    /// The node on which it occurred last.
    pub node: Option<String>,
    /// The last task.
    pub task_id: Option<i64>,
    /// The fence of the last attempt.
    pub fence: Option<i64>,
    /// The exit code of the last attempt.
    pub exit_code: Option<i32>,
    /// When the next attempt of the last task begins.
    pub next_at: Option<DateTime<Utc>>,
}

impl Sighting {
    /// One occurrence now.
    pub fn now(kind: ProblemKind, name: impl Into<String>, what: impl Into<String>) -> Self {
        let what: String = what.into();
        Self {
            kind,
            name: name.into(),
            outcome: None,
            fingerprint: String::new(),
            what: what.chars().filter(|letter| *letter != '\0').take(MAX_WHAT).collect(),
            times: 1,
            discarded: 0,
            first_at: None,
            last_at: None,
            task: None,
            schedule: None,
            queue: None,
            node: None,
            task_id: None,
            fence: None,
            exit_code: None,
            next_at: None,
        }
    }

    /// What distinguishes its problem from every other one.
    pub fn key(&self) -> String {
        let outcome = self.outcome.map_or("", Outcome::as_str);
        let mut digest = Sha256::new();
        for part in [self.kind.as_str(), &self.name, outcome, &self.fingerprint] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let hex = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        hex[..KEY_LENGTH].to_owned()
    }

    /// A failed attempt; none if it did not fail.
    fn of_attempt(attempt: &FinishedAttempt) -> Option<Self> {
        if !is_failure(attempt) {
            return None;
        }
        let error = attempt.error.as_deref().unwrap_or(attempt.outcome.as_str());
        let delay = TimeDelta::milliseconds(i64::try_from(attempt.retry_ms).unwrap_or(i64::MAX / 1_000));
        let is_retried = attempt.verdict == Some(Verdict::Retry);
        Some(Self {
            outcome: Some(attempt.outcome),
            fingerprint: fingerprint(error),
            discarded: i64::from(attempt.verdict == Some(Verdict::Discarded)),
            first_at: Some(attempt.finished_at),
            last_at: Some(attempt.finished_at),
            task: Some(attempt.name.clone()),
            schedule: attempt.schedule.clone(),
            queue: Some(attempt.queue.to_string()),
            node: Some(attempt.node.to_string()),
            task_id: Some(attempt.claim.task_id),
            fence: Some(attempt.claim.fence),
            exit_code: attempt.report.exit_code,
            next_at: attempt.finished_at.checked_add_signed(delay).filter(|_| is_retried),
            ..Self::now(ProblemKind::Task, attempt.name.clone(), error)
        })
    }

    /// Takes in a further occurrence of the same problem.
    fn join(&mut self, other: Self) {
        let (times, discarded) = (self.times + other.times, self.discarded + other.discarded);
        let first_at = self.first_at.min(other.first_at);
        if other.last_at >= self.last_at {
            *self = other;
        }
        (self.times, self.discarded, self.first_at) = (times, discarded, first_at);
    }
}

/// Whether an attempt failed. What was cancelled, interrupted or snoozed is no failure.
pub fn is_failure(attempt: &FinishedAttempt) -> bool {
    matches!(attempt.outcome, Outcome::Failed | Outcome::TimedOut | Outcome::Crashed)
}

/// The failures of a batch, one sighting for each problem, in the order of their keys.
pub fn of_attempts<'a>(attempts: impl IntoIterator<Item = &'a FinishedAttempt>) -> Vec<Sighting> {
    one_each(attempts.into_iter().filter_map(Sighting::of_attempt))
}

/// One sighting for each problem, in the order of their keys.
pub fn one_each(sightings: impl IntoIterator<Item = Sighting>) -> Vec<Sighting> {
    let mut joined: BTreeMap<String, Sighting> = BTreeMap::new();
    for sighting in sightings {
        let key = sighting.key();
        match joined.get_mut(&key) {
            Some(known) => known.join(sighting),
            None => {
                joined.insert(key, sighting);
            }
        }
    }
    joined.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::ClaimedTask;

    fn attempt(id: i64, outcome: Outcome, error: &str) -> FinishedAttempt {
        let at: DateTime<Utc> = "2026-11-22T04:00:00Z".parse().expect("an instant");
        let task = ClaimedTask {
            name: "import".to_owned(),
            queue: "default".into(),
            enqueued_at: at,
            started_at: at,
            ..ClaimedTask::sample(id)
        };
        let end = task.interrupted(&"n".into(), None, error, at + TimeDelta::seconds(id), Duration::ZERO);
        FinishedAttempt { outcome, verdict: Some(Verdict::Discarded), ..end }
    }

    #[test]
    fn failures_are_grouped_by_outcome_and_error() {
        let batch = [
            attempt(3, Outcome::Failed, "exit code 1: order 3"),
            attempt(1, Outcome::Failed, "exit code 1: order 1"),
            attempt(2, Outcome::TimedOut, "exit code 1: order 2"),
            attempt(4, Outcome::Failed, "no disk"),
            attempt(5, Outcome::Cancelled, "exit code 1: order 5"),
            attempt(6, Outcome::Interrupted, "exit code 1: order 6"),
            attempt(7, Outcome::Succeeded, ""),
        ];
        let found = of_attempts(&batch);
        assert_eq!(found.len(), 3);
        let orders = found.iter().find(|sighting| sighting.times == 2).expect("two of one problem");
        assert_eq!((orders.discarded, orders.task_id), (2, Some(3)), "the last one is shown");
        assert_eq!(orders.first_at.zip(orders.last_at).map(|(first, last)| last - first), Some(TimeDelta::seconds(2)));
        assert!(found.is_sorted_by_key(Sighting::key), "every node locks in the same order");
    }

    #[test]
    fn a_text_that_no_database_keeps_is_made_fit() {
        assert_eq!(Sighting::now(ProblemKind::Node, "n", "a\0b").what, "ab");
        assert_eq!(Sighting::now(ProblemKind::Node, "n", "x".repeat(9_000)).what.len(), MAX_WHAT);
    }
}
