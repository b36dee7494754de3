//! `sexton_history`: one row for each finished attempt, and for each task that ended without one. Never updated.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::{Outcome, Verdict};

/// One finished attempt. The columns are a stable interface, described in `docs/SQL.md`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_history")]
pub struct Model {
    /// Rises in the order of recording.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The task; absent where an occurrence was skipped before it became a task.
    pub task_id: Option<i64>,
    /// The task definition.
    pub name: String,
    /// How it was executed; absent where the definition is unknown.
    pub kind: Option<String>,
    /// The queue it ran in.
    pub queue: Option<String>,
    /// The schedule that created the task.
    pub schedule: Option<String>,
    /// The instant of that schedule.
    pub due_at: Option<DateTimeUtc>,
    /// When the task was accepted.
    pub enqueued_at: Option<DateTimeUtc>,
    /// When the attempt began; absent where none did.
    pub started_at: Option<DateTimeUtc>,
    /// When it ended.
    pub finished_at: DateTimeUtc,
    /// Milliseconds from start to end.
    pub duration_ms: Option<i64>,
    /// The node that ran it.
    pub node: Option<String>,
    /// The attempt's number, from 1; an interrupted one's number is given again.
    pub attempt: i32,
    /// What happened.
    pub outcome: Outcome,
    /// What became of the task; absent where the row decided nothing (superseded, skipped).
    pub verdict: Option<Verdict>,
    /// A command's exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended a command.
    pub signal: Option<i32>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// What the task was given.
    pub payload: Option<Json>,
    /// The claim that this row ends; with the task and the outcome it is unique.
    pub fence: i64,
    /// Whether a command left a core dump.
    pub core_dumped: Option<bool>,
    /// A command's CPU time in user mode, in milliseconds.
    pub cpu_user_ms: Option<i64>,
    /// A command's CPU time in the kernel, in milliseconds.
    pub cpu_system_ms: Option<i64>,
    /// The most memory that one process of a command had resident, in bytes.
    pub peak_memory: Option<i64>,
    /// What a command wrote to both streams, kept or not, in bytes.
    pub output_bytes: Option<i64>,
    /// What the attempt wanted kept.
    pub result: Option<Json>,
}

/// History stands alone: its tasks are gone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
