//! `sexton_queue`: settings of queues that can change at run time. A queue without a row is not paused.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// Run-time settings of one queue, for the whole cluster.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_queue")]
pub struct Model {
    /// Name of the queue.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// While true, no node claims tasks from it.
    pub paused: bool,
    /// Database time of the latest change.
    pub changed_at: DateTimeUtc,
    /// Database time at which it was paused. NULL if it is not paused, or if an earlier version paused it.
    pub paused_at: Option<DateTimeUtc>,
    /// Login user, or else the account, that paused it.
    pub paused_by: Option<String>,
    /// Host on which it was paused.
    pub paused_host: Option<String>,
    /// Why it was paused, as the operator gave it.
    pub pause_reason: Option<String>,
}

/// No foreign keys: tasks name their queue in plain text.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
