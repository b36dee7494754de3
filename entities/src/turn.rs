//! `sexton_turn`: rows that claims under a common limit lock, so that each claim sees the ones before it.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One lock row: for a queue with a limit, or for all tasks whose definition has a limit.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_turn")]
pub struct Model {
    /// `queue NAME` or `tasks`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Number of claims that have held the lock.
    #[sea_orm(default_value = 0)]
    pub turn: i64,
    /// In a queue whose keys take turns, the key that had the latest one.
    pub latest_key: Option<String>,
}

/// No foreign keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
