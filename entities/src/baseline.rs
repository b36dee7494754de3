//! `sexton_baseline`: what is usual for a task definition.

use sea_orm::entity::prelude::*;

/// One task definition.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sexton_baseline")]
pub struct Model {
    /// Name of the task definition.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Figures of its latest successes, as JSON: at most 50 durations, delays and sizes of the output.
    pub figures: String,
    /// Database time at which something was learned last.
    pub learned_at: DateTimeUtc,
}

/// No foreign keys: it outlives the history.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
