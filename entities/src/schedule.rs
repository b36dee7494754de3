//! `sexton_schedule`: what recurs.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::Origin;

/// One schedule. It carries the name of the task definition that it starts.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_schedule")]
pub struct Model {
    /// The schedule's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The task definition that it starts.
    pub task: String,
    /// Who wrote it.
    pub origin: Origin,
    /// Its recurrences, as they are written in the configuration.
    pub spec: String,
    /// While paused, its instants are recorded as skipped.
    pub paused: bool,
    /// The latest instant that was dealt with.
    pub last_at: DateTimeUtc,
    /// The next instant, as the node that fired last has computed it.
    pub next_at: Option<DateTimeUtc>,
    /// When it was first seen.
    pub created_at: DateTimeUtc,
}

/// Occurrences and tasks name their schedule in plain text, so that they outlive it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
