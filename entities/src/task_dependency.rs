//! `sexton_task_dependency`: for which tasks and groups a task waits, or has waited.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One predecessor of one task. A task of state `waiting` has at least one row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_task_dependency")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The task that waits.
    pub task_id: i64,
    /// The task for which it waits. NULL if it waits for a group.
    pub after_id: Option<i64>,
    /// The group for which it waits. NULL if it waits for a task.
    pub after_group: Option<String>,
    /// Which end lets it begin: `success`, `failure` or `always`. A text, because an application may write another one.
    #[sea_orm(default_value = "success")]
    pub required: String,
    /// Whether it waits for `all` of its predecessors, or for `any` of them. The same in all rows of a task.
    #[sea_orm(default_value = "all")]
    pub fan_in: String,
    /// How the predecessor ended: the outcome of its last attempt, or `gone`. NULL until it has ended.
    pub outcome: Option<String>,
}

/// No foreign keys: a predecessor may be in the history.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
