//! `sexton_notice`: what is to be sent about problems, and what became of it.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::{
    json_text::JsonText,
    states::{NoticeAbout, NoticeState},
};

/// One notice to one channel.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_notice")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What distinguishes it from every other one; the same each time it is sent. Unique.
    pub notice_key: String,
    /// The `[notify.NAME]` by which it goes.
    pub channel: String,
    /// What it says.
    pub about: NoticeAbout,
    /// The problem. NULL if it is about several, or has the output of an attempt.
    pub problem_id: Option<i64>,
    /// What was known when it was written.
    pub facts: JsonText,
    /// What became of it.
    pub state: NoticeState,
    /// How often it was tried.
    pub attempts: i32,
    /// Database time at which it was written.
    pub created_at: DateTimeUtc,
    /// Database time from which it is tried again.
    pub next_at: DateTimeUtc,
    /// The node that sends it now.
    pub leased_by: Option<String>,
    /// Database time until which no other node sends it.
    pub leased_until: Option<DateTimeUtc>,
    /// Database time at which it was sent or given up.
    pub finished_at: Option<DateTimeUtc>,
    /// Why it could not be sent the last time.
    pub error: Option<String>,
}

/// No foreign keys: it may outlive its problem.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
