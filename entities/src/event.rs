//! `sexton_event`: what applications tell. `INSERT INTO sexton_event (name) VALUES ('order.paid')` is a complete event.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::{json_text::JsonText, states::EventState};

/// One event. It is deleted when it is older than `daemon.keep_events`, and its file has not been seen for as long.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_event")]
pub struct Model {
    /// Event number, ascending.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Name by which triggers select it.
    pub name: String,
    /// What it is about.
    pub payload: Option<JsonText>,
    /// Key of its sender. Unique, so that what is sent again is one event.
    pub event_key: Option<String>,
    /// What became of it.
    pub state: EventState,
    /// Database time at which it was sent.
    pub created_at: DateTimeUtc,
    /// Database time at which the last of its triggers dealt with it, or a node found none.
    pub consumed_at: Option<DateTimeUtc>,
    /// The node that did so.
    pub node: Option<String>,
    /// Number of the event of which it is a repetition.
    pub replay_of: Option<i64>,
    /// What is wrong with its row.
    pub mistake: Option<String>,
    /// Database time at which a node saw its file last, if it is the event of a file.
    pub seen_at: Option<DateTimeUtc>,
}

/// No foreign keys: tasks outlive their events.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
