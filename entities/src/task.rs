//! `sexton_task`: unfinished tasks, and only these.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::TaskState;

/// One accepted task that has not ended. `INSERT INTO sexton_task (name) VALUES ('x')` is a complete enqueue.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_task")]
pub struct Model {
    /// Rises with each enqueue; the order within one priority.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The task definition that says what to do.
    pub name: String,
    /// The queue it waits in; absent until a node has looked it up in the definition.
    pub queue: Option<String>,
    /// Where it stands.
    pub state: TaskState,
    /// Lower goes first.
    pub priority: i32,
    /// What the definition is to work on.
    pub payload: Option<Json>,
    /// Not before this instant.
    pub run_at: DateTimeUtc,
    /// At most one unfinished task has a given key.
    pub unique_key: Option<String>,
    /// Attempts that were started and counted; while it runs, the number of the running one.
    pub attempt: i32,
    /// The limit of attempts; absent means as the definition says.
    pub max_attempts: Option<i32>,
    /// Rises with each claim. A finish with an older one is refused.
    pub fence: i64,
    /// The schedule that created it.
    pub schedule: Option<String>,
    /// The instant of that schedule.
    pub due_at: Option<DateTimeUtc>,
    /// When it was accepted.
    pub enqueued_at: DateTimeUtc,
    /// When the running attempt was claimed.
    pub started_at: Option<DateTimeUtc>,
    /// The node that runs it.
    pub node: Option<String>,
    /// When somebody asked for the running attempt to be cancelled.
    pub cancel_requested_at: Option<DateTimeUtc>,
    /// How far the running attempt has got, as it says itself: `percent`, `text`.
    pub progress: Option<Json>,
}

/// Tasks stand alone: history outlives them, so nothing refers to them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
