//! `sexton_turn`: what claims take turns at that must see one another, because a limit holds for all of them.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One thing that they take turns at: a queue with a limit, or all tasks that have one.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_turn")]
pub struct Model {
    /// `queue NAME`, or `tasks`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Rises with each turn.
    #[sea_orm(default_value = 0)]
    pub turn: i64,
}

/// A turn is nobody's parent.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
