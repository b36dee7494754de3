//! `sexton_task`: unfinished tasks. A finished task moves to `sexton_history`.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::{json_text::JsonText, states::TaskState};

/// One task that was accepted and is not finished. `INSERT INTO sexton_task (name) VALUES ('x')` is a complete enqueue.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_task")]
pub struct Model {
    /// Task number, ascending with each enqueue. Decides the order within one priority.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Name of the task definition to execute.
    pub name: String,
    /// Queue it waits in. NULL until a node has assigned the queue of its definition.
    pub queue: Option<String>,
    /// Its state.
    pub state: TaskState,
    /// Lower numbers are claimed first.
    pub priority: i32,
    /// Input of the task.
    pub payload: Option<JsonText>,
    /// Earliest instant at which an attempt may begin.
    pub run_at: DateTimeUtc,
    /// Key that at most one unfinished task may have.
    pub unique_key: Option<String>,
    /// Number of counted attempts; while the task runs, the number of the running attempt.
    pub attempt: i32,
    /// Limit of attempts. NULL means the limit of the definition.
    pub max_attempts: Option<i32>,
    /// Number of the latest claim, ascending: database time in microseconds, or one more than before. A finish with
    /// another number is refused.
    pub fence: i64,
    /// Name of the schedule that created it.
    pub schedule: Option<String>,
    /// The instant of that schedule for which it was created.
    pub due_at: Option<DateTimeUtc>,
    /// Database time at which it was accepted.
    pub enqueued_at: DateTimeUtc,
    /// Database time at which the running attempt was claimed.
    pub started_at: Option<DateTimeUtc>,
    /// The node that runs it.
    pub node: Option<String>,
    /// Database time at which a request to cancel the running attempt came.
    pub cancel_requested_at: Option<DateTimeUtc>,
    /// Number of attempts in a row, up to the latest, during which their node died.
    pub pickups: i32,
    /// Progress that the running attempt reported: `percent`, `text`.
    pub progress: Option<Json>,
    /// Number of snoozes: attempts that asked to be made again later.
    pub snoozes: i32,
    /// Database time since which no live node defines its name, and it therefore waits. NULL for all other tasks.
    pub unknown_since: Option<DateTimeUtc>,
    /// Database time at which it expires: no attempt begins from then on, unless one has begun before.
    pub expires_at: Option<DateTimeUtc>,
    /// The `traceparent` of the trace to which it belongs, as the application gave it.
    pub traceparent: Option<String>,
    /// The `tracestate` that belongs to it.
    pub tracestate: Option<String>,
    /// Name of the group to which it belongs.
    pub group_name: Option<String>,
    /// What it waited for, since it was released: a list of `id`, `task`, `group`, `outcome`, `result`.
    pub predecessors: Option<JsonText>,
    /// The key by which it is limited or takes turns. NULL if it needs none, or until a node has found it in the payload.
    pub limit_key: Option<String>,
    /// What an attempt has done in a transaction of its own, as its result: a further attempt does not do it again.
    pub applied: Option<JsonText>,
}

/// No foreign keys: history outlives the tasks.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
