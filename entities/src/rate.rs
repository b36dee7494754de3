//! `sexton_rate`: token buckets. A queue or a task with a rate has one as soon as a task was claimed under it.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One token bucket.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_rate")]
pub struct Model {
    /// What it limits: `queue` or `task`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope: String,
    /// Name of the queue, or of the task definition.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Database time at which the bucket is full again. Each claimed task moves it on.
    pub full_at: DateTimeUtc,
    /// The number of tokens of the rate in force.
    pub tokens: i32,
    /// The time in which they come, in milliseconds.
    pub per_millis: i64,
    /// The number of tokens in a full bucket.
    pub burst: i32,
    /// The node whose configuration has this rate.
    pub node: Option<String>,
    /// Database time at which that node has used it last.
    pub set_at: DateTimeUtc,
}

/// No foreign keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
