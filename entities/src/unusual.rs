//! `sexton_unusual`: runs that were far outside of what was usual then.

use sea_orm::entity::prelude::*;

use crate::states::Unusual;

/// One figure of one run.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sexton_unusual")]
pub struct Model {
    /// Number of the run's row in the history.
    #[sea_orm(primary_key, auto_increment = false)]
    pub history_id: i64,
    /// What was unusual.
    #[sea_orm(primary_key, auto_increment = false)]
    pub what: Unusual,
    /// Name of the task definition.
    pub name: String,
    /// The figure: milliseconds, or bytes of output.
    pub value: i64,
    /// The median of the figures before.
    pub usual: i64,
    /// When the run ended.
    pub finished_at: DateTimeUtc,
}

/// No foreign keys: it is deleted when the history is.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
