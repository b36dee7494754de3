//! `sexton_event_trigger`: what each trigger made of each event. Its key makes one task of an event and a trigger in a
//! cluster.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::EventFate;

/// One event and one trigger that is for it.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_event_trigger")]
pub struct Model {
    /// Number of the event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: i64,
    /// Name of the trigger.
    #[sea_orm(primary_key, auto_increment = false)]
    pub trigger_name: String,
    /// What it made of the event.
    pub fate: EventFate,
    /// Number of the task, also of one that was there already.
    pub task_id: Option<i64>,
    /// Why it made no task.
    pub reason: Option<String>,
    /// Database time at which it dealt with the event. NULL while that waits.
    pub decided_at: Option<DateTimeUtc>,
    /// The node that did so.
    pub node: Option<String>,
}

/// No foreign keys: the pruner deletes both tables.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
