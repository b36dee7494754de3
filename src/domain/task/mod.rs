//! Tasks: to be enqueued, claimed, finished.

pub mod claim;
pub mod claim_position;
pub mod definition;
pub mod disabled;
pub mod expiry;
pub mod key_rules;
pub mod lease_loss;
pub mod limit_key;
pub mod limits;
pub mod names;
pub mod payload_schema;
pub mod pickups;
pub mod prefetch_count;
pub mod rate;
pub mod retry;
pub mod snooze;
#[cfg(test)]
mod tests;
pub mod time_limit;
pub mod trace;
pub mod verdict;
pub mod waiting;

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
pub use sexton_client::domain::{
    expiry::{NEVER, is_on_hold},
    new_task::{DEFAULT_MAX_PAYLOAD, InvalidTask, NewTask},
    trace::{BadTrace, TraceParent, check_tracestate},
};
use sexton_entities::{
    json_text::JsonText,
    states::{Outcome, Verdict},
};

use self::claim::{Claim, ClaimIdentity};
use super::{
    command::{Usage, capture::Kept},
    identity::{NodeId, QueueName},
};

/// A task that this node has claimed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ClaimedTask {
    /// The claim.
    #[serde(flatten)]
    pub claim: Claim,
    /// The name of the task definition.
    pub name: String,
    /// The queue from which it was claimed.
    pub queue: QueueName,
    /// The payload.
    #[serde(default)]
    pub payload: Option<JsonText>,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// The maximum number of attempts, if the task has its own.
    pub max_attempts: Option<i32>,
    /// The number of attempts in a row, up to the one before this, during which their node died.
    #[serde(default)]
    pub pickups: i32,
    /// The schedule that created it.
    pub schedule: Option<String>,
    /// The instant of that schedule.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was enqueued.
    pub enqueued_at: DateTime<Utc>,
    /// When it was claimed, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Why the payload cannot be read: a database may accept JSON that this program does not.
    pub unreadable: Option<String>,
    /// How often it was snoozed.
    #[serde(default)]
    pub snoozes: i32,
    /// The `traceparent` of the trace to which it belongs, as the application gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The `tracestate` that belongs to it, as the application gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// How the tasks ended for which it waited: a list of `id`, `task`, `group`, `outcome` and `result`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessors: Option<JsonText>,
}

impl ClaimedTask {
    /// What distinguishes this claim from every other one.
    pub fn identity(&self) -> ClaimIdentity {
        ClaimIdentity { claim: self.claim, enqueued_at: self.enqueued_at, claimed_at: Some(self.started_at) }
    }

    /// The trace to which it belongs, if it belongs to one.
    ///
    /// # Errors
    /// Why the `traceparent` is ignored.
    pub fn trace(&self) -> Result<Option<TraceParent>, BadTrace> {
        self.traceparent.as_deref().map(str::parse).transpose()
    }

    /// The end of an attempt that the daemon could not complete, after `took`. The attempt is not counted, and the task
    /// is released: it is available again at once. `kind` is absent where the definition is not known.
    pub fn interrupted(
        &self,
        node: &NodeId,
        kind: Option<String>,
        why: &str,
        now: DateTime<Utc>,
        took: Duration,
    ) -> FinishedAttempt {
        FinishedAttempt {
            claim: self.claim,
            name: self.name.clone(),
            kind,
            queue: self.queue.clone(),
            schedule: self.schedule.clone(),
            due_at: self.due_at,
            enqueued_at: self.enqueued_at,
            claimed_at: Some(self.started_at),
            started_at: now - TimeDelta::from_std(took).unwrap_or_default(),
            finished_at: now,
            duration_ms: took.as_millis() as i64,
            node: node.clone(),
            attempt: self.attempt,
            outcome: Outcome::Interrupted,
            verdict: Some(Verdict::Released),
            retry_ms: 0,
            error: Some(why.to_owned()),
            payload: self.payload.clone(),
            trace: self.trace().ok().flatten(),
            report: Report::default(),
        }
    }

    /// The record of a claim under which this node has an attempt already: the database had lost that claim. Nothing was
    /// executed for this one.
    pub fn claimed_again(&self, node: &NodeId) -> FinishedAttempt {
        let why = "the node had this claim already, and the database had lost it: the attempt that ran went on";
        FinishedAttempt {
            outcome: Outcome::Superseded,
            verdict: None,
            ..self.interrupted(node, None, why, self.started_at, Duration::ZERO)
        }
    }
}

/// What an attempt reports besides its outcome.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The exit code of a command.
    pub exit_code: Option<i32>,
    /// The signal that killed a command.
    pub signal: Option<i32>,
    /// Whether a command left a core dump; unknown for other kinds.
    pub core_dumped: Option<bool>,
    /// The resource usage of a command; unknown for other kinds.
    pub usage: Option<Usage>,
    /// The duration, if it was measured more exactly than by the worker.
    #[serde(skip)]
    pub took: Option<Duration>,
    /// The result that the history keeps.
    #[serde(default)]
    pub result: Option<JsonText>,
    /// The captured standard output.
    pub stdout: Kept,
    /// The captured standard error.
    pub stderr: Kept,
    /// The payload of the next attempt, if it changes.
    #[serde(default)]
    pub next_payload: Option<JsonText>,
    /// Whether the node died during the attempt: such an attempt counts toward `max_pickups`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub node_died: bool,
    /// The number of processes that a command left behind and that were ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_behind: Option<i32>,
    /// The attempt directory, which is removed once the attempt is recorded.
    #[serde(skip)]
    pub attempt_dir: Option<PathBuf>,
}

/// An attempt that has ended and is to be recorded. It has everything that its row of the history needs, because the
/// row of the task may belong to another claim by then.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FinishedAttempt {
    /// The claim that ends.
    #[serde(flatten)]
    pub claim: Claim,
    /// The name of the task definition.
    pub name: String,
    /// The kind by which it was executed; unknown if the definition is.
    pub kind: Option<String>,
    /// The queue from which it was claimed.
    pub queue: QueueName,
    /// The schedule that created it.
    pub schedule: Option<String>,
    /// The instant of that schedule.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was enqueued.
    pub enqueued_at: DateTime<Utc>,
    /// When the task was claimed, by the database's clock. Earlier versions did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<DateTime<Utc>>,
    /// When the attempt began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The node that ran it.
    pub node: NodeId,
    /// The number of the attempt, from 1.
    pub attempt: i32,
    /// What happened.
    pub outcome: Outcome,
    /// What becomes of the task; none if the attempt had lost its task.
    pub verdict: Option<Verdict>,
    /// For a retry: the delay before the next attempt, in milliseconds.
    pub retry_ms: u64,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// The payload of the attempt.
    #[serde(default)]
    pub payload: Option<JsonText>,
    /// The trace to which it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// What the attempt reported.
    pub report: Report,
}

impl FinishedAttempt {
    /// What distinguishes the claim that ends from every other one.
    pub fn identity(&self) -> ClaimIdentity {
        ClaimIdentity { claim: self.claim, enqueued_at: self.enqueued_at, claimed_at: self.claimed_at }
    }
}
