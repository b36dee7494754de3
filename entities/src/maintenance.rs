//! `sexton_maintenance`: while it has a row in force, no node begins anything. An application may read it, and write it.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// A maintenance of the whole cluster. It is in force until `ends_at`, or until the row is deleted.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_maintenance")]
pub struct Model {
    /// 1 for the maintenance of `sexton maintenance on`. An application may have a row of its own beside it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// Database time at which it began.
    pub began_at: DateTimeUtc,
    /// When it ends by itself. NULL if it has no end.
    pub ends_at: Option<DateTimeUtc>,
    /// Login user, or else the account, that began it.
    pub login: Option<String>,
    /// Host on which it was begun.
    pub host: Option<String>,
    /// Why, as the operator gave it.
    pub reason: Option<String>,
}

/// No foreign keys: nothing in the database refers to it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
