//! `sexton_history`: one row for each finished attempt, and for each task that ended without one. Never updated.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::{
    json_text::JsonText,
    states::{Outcome, Verdict},
};

/// One finished attempt. The columns are a stable interface, described in `docs/SQL.md`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_history")]
pub struct Model {
    /// Row number, ascending in the order of recording.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The task's number. NULL for a skipped occurrence, which never became a task.
    pub task_id: Option<i64>,
    /// Name of the task definition.
    pub name: String,
    /// How it was executed, such as `command`. NULL if the definition is unknown.
    pub kind: Option<String>,
    /// The queue it ran in.
    pub queue: Option<String>,
    /// Name of the schedule that created the task.
    pub schedule: Option<String>,
    /// The instant of that schedule for which the task was created.
    pub due_at: Option<DateTimeUtc>,
    /// When the task was accepted.
    pub enqueued_at: Option<DateTimeUtc>,
    /// Database time at which the task was claimed. NULL if it was not, and in rows of earlier versions.
    pub claimed_at: Option<DateTimeUtc>,
    /// When the attempt began. NULL if none did.
    pub started_at: Option<DateTimeUtc>,
    /// When the attempt ended, or when the task ended without one.
    pub finished_at: DateTimeUtc,
    /// Milliseconds from start to end.
    pub duration_ms: Option<i64>,
    /// The node that ran it.
    pub node: Option<String>,
    /// Number of the attempt, from 1. The attempt after an interrupted one has the same number.
    pub attempt: i32,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// Decision on the task. NULL if the row decided nothing (superseded, skipped).
    pub verdict: Option<Verdict>,
    /// Exit code of a command.
    pub exit_code: Option<i32>,
    /// Number of the signal that ended a command.
    pub signal: Option<i32>,
    /// Why it did not succeed, as a text for people.
    pub error: Option<String>,
    /// The task's payload.
    pub payload: Option<JsonText>,
    /// Fence of the claim that this row ends. Unique together with the task, the outcome, `enqueued_at` and
    /// `claimed_at`.
    pub fence: i64,
    /// Whether a command left a core dump.
    pub core_dumped: Option<bool>,
    /// CPU time of a command in user mode, in milliseconds.
    pub cpu_user_ms: Option<i64>,
    /// CPU time of a command in the kernel, in milliseconds.
    pub cpu_system_ms: Option<i64>,
    /// Largest resident set of any one process of a command, in bytes.
    pub peak_memory: Option<i64>,
    /// Number of bytes that a command wrote to both streams, including those that were not kept.
    pub output_bytes: Option<i64>,
    /// Result that the attempt reported.
    pub result: Option<JsonText>,
    /// Why nothing was executed: `expired`, `predecessor`, `cycle`, or the reason code of a skipped instant in the ledger. A text, because a
    /// newer node may know further codes.
    pub reason_code: Option<String>,
    /// Number of processes that a command left behind and that were ended. NULL if it left none.
    pub left_behind: Option<i32>,
    /// Login user, or else the account, that cancelled the task. NULL if nobody did, and in rows of earlier versions.
    pub cancelled_by: Option<String>,
    /// Host on which the task was cancelled.
    pub cancelled_host: Option<String>,
    /// Why the task was cancelled, as the operator gave it.
    pub cancel_reason: Option<String>,
    /// The `traceparent` of the trace to which the attempt belongs. NULL if it belongs to none.
    pub traceparent: Option<String>,
    /// Name of the group to which the task belonged.
    pub group_name: Option<String>,
}

/// No foreign keys: the tasks are deleted when they finish.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
