//! `sexton_occurrence`: the fire ledger. Its key is what makes a schedule fire once in a cluster.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::Fate;

/// What became of one expected instant of a schedule.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_occurrence")]
pub struct Model {
    /// The schedule.
    #[sea_orm(primary_key, auto_increment = false)]
    pub schedule: String,
    /// The instant at which it should have started.
    #[sea_orm(primary_key, auto_increment = false)]
    pub due_at: DateTimeUtc,
    /// What became of it.
    pub fate: Fate,
    /// Why, where it did not start on time.
    pub reason: Option<String>,
    /// The node that entered it.
    pub node: String,
    /// The transaction that entered it: random, so that its author can find its own rows.
    pub entry: String,
    /// When it was entered.
    pub entered_at: DateTimeUtc,
}

/// The ledger stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
