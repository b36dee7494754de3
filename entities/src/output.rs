//! `sexton_output`: captured output of finished attempts. An attempt without output has no row.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// Captured output of one attempt: the whole of it, or its head and tail.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_output")]
pub struct Model {
    /// `id` of the attempt's row in `sexton_history`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub history_id: i64,
    /// Kept part of standard output.
    #[sea_orm(column_type = "Text")]
    pub stdout: String,
    /// Kept part of standard error.
    #[sea_orm(column_type = "Text")]
    pub stderr: String,
    /// The middle of at least one stream was left out.
    pub truncated: bool,
    /// When the lines arrived. For each stream, pairs of a line number (from 0) and the milliseconds since the start
    /// that apply from that line on.
    pub times: Option<Json>,
}

/// No foreign keys: the pruner deletes a row together with its history row, in one transaction.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
