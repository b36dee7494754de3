//! `sexton_database`: which database this is, and whether everything is paused. One row, made at the first start.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// The identity of the database. What a daemon leaves on disk carries it, so that it is never applied to another one.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_database")]
pub struct Model {
    /// Always 1: there is one row.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Random identity of the database. A copy and a restored backup have the same.
    pub uuid: String,
    /// Database time at which it was made.
    pub created_at: DateTimeUtc,
    /// While true, no node claims a task, and no schedule fires.
    pub paused: bool,
    /// Database time at which it was paused. NULL if it is not paused, or if an earlier version paused it.
    pub paused_at: Option<DateTimeUtc>,
    /// Login user, or else the account, that paused it.
    pub paused_by: Option<String>,
    /// Host on which it was paused.
    pub paused_host: Option<String>,
    /// Why it was paused, as the operator gave it.
    pub pause_reason: Option<String>,
}

/// No foreign keys: nothing in the database refers to it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
