//! `sexton_output`: what a finished attempt wrote, where it wrote anything.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// The captured output of one attempt: its head and its tail, where it was too much.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_output")]
pub struct Model {
    /// The history row of the attempt.
    #[sea_orm(primary_key, auto_increment = false)]
    pub history_id: i64,
    /// Standard output.
    #[sea_orm(column_type = "Text")]
    pub stdout: String,
    /// Standard error.
    #[sea_orm(column_type = "Text")]
    pub stderr: String,
    /// Whether anything was left out of the middle.
    pub truncated: bool,
    /// When its lines arrived: for each stream, pairs of a line (from 0) and the milliseconds from the start that
    /// count from that line on.
    pub times: Option<Json>,
}

/// Deleted together with its history row, by the same statement.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
