//! `sexton_daily`: sums of the history that was pruned, for each day and task definition.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// The attempts of one task definition that ended on one day in UTC, as far as their rows of the history are gone.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_daily")]
pub struct Model {
    /// The day on which they ended, in UTC: `2026-12-24`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: String,
    /// Name of the task definition.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Number of attempts, except those that were superseded or skipped.
    pub runs: i64,
    /// Number of those that failed, crashed or reached their time limit.
    pub failed: i64,
    /// Sum of their durations, in milliseconds.
    pub duration_ms: i64,
    /// The longest duration, in milliseconds.
    pub longest_ms: i64,
    /// Number of first attempts for an instant of a schedule.
    pub scheduled: i64,
    /// Sum of the times from those instants to the beginnings of the attempts, in milliseconds.
    pub delay_ms: i64,
}

/// No foreign keys: the history is gone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
