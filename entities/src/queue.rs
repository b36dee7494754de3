//! `sexton_queue`: what may be changed of a queue while it runs. A queue without a row is simply not paused.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// The standing orders for one queue, cluster-wide.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_queue")]
pub struct Model {
    /// The queue's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// While paused, nobody claims from it.
    pub paused: bool,
    /// When that was last changed.
    pub changed_at: DateTimeUtc,
}

/// Tasks name their queue in plain text.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
