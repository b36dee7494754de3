//! `sexton_bookmark`: how far work in the background has come.

use sea_orm::entity::prelude::*;

/// One kind of work.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sexton_bookmark")]
pub struct Model {
    /// What is done: `baselines`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Number of the last row of the history that was read.
    pub position: i64,
}

/// No foreign keys: the history is pruned.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
