//! An event without what became of it.

use chrono::{DateTime, Utc};
use sexton_entities::json_text::JsonText;

/// An event as a trigger sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFacts {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload: Option<JsonText>,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
}
