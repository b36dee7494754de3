//! `sexton_audit`: who did what, when, to what, by which way and why. Never updated.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::{AuditAction, AuditTarget, Via};

/// One deed. The columns are a stable interface, described in `docs/SQL.md`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_audit")]
pub struct Model {
    /// Row number, ascending in the order of recording.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Database time at which it was done.
    pub done_at: DateTimeUtc,
    /// What was done.
    pub action: AuditAction,
    /// What kind of thing it was done to.
    pub target: AuditTarget,
    /// Name of that thing; of a task, that of its definition. NULL for the whole cluster.
    pub name: Option<String>,
    /// Number of the task. NULL if it was not done to a task.
    pub task_id: Option<i64>,
    /// By which way it was done.
    pub via: Via,
    /// Account under which it was done. NULL if that is not known: a signal does not tell it.
    pub account: Option<String>,
    /// User who had logged in, by the kernel's login uid or by sudo. NULL if that is not known.
    pub login: Option<String>,
    /// Host on which it was done.
    pub host: Option<String>,
    /// Why it was done, as the operator gave it.
    pub reason: Option<String>,
    /// What it was like before.
    pub value_before: Option<Json>,
    /// What it was like afterwards.
    pub value_after: Option<Json>,
}

/// No foreign keys: it outlives what it names.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
