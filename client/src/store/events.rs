//! Events: how they are sent. What becomes of them is decided by the triggers of the nodes.

use sea_orm::ConnectionTrait;

use super::{StoreError, TaskStore, dialect::Kind, rows::Rows};
use crate::domain::new_event::NewEvent;

/// The result of sending an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentEvent {
    /// A new event, with its number.
    New(i64),
    /// An event with this key was sent before; its number.
    AlreadyThere(i64),
}

impl SentEvent {
    /// The number of the event: of the new one, or of the one that has the key.
    pub fn id(self) -> i64 {
        match self {
            Self::New(id) | Self::AlreadyThere(id) => id,
        }
    }
}

const NEW_EVENT_COLUMNS: [(&str, Kind); 4] =
    [("name", Kind::Text), ("payload", Kind::Text), ("event_key", Kind::Text), ("replay_of", Kind::Integer)];

impl TaskStore {
    /// Sends an event, on any connection or transaction of this database.
    ///
    /// # Errors
    /// If the event is invalid, or the database is unavailable: then nothing was sent.
    pub async fn send_event<C: ConnectionTrait>(
        &self,
        connection: &C,
        new: &NewEvent,
    ) -> Result<SentEvent, StoreError> {
        new.check(self.max_payload())?;
        if let Some(id) = self.insert_event(connection, new, None).await? {
            return Ok(SentEvent::New(id));
        }
        let key = new.key.clone().unwrap_or_default();
        let holder = self.all(connection, "SELECT id FROM sexton_event WHERE event_key = ?", [key.into()]).await?;
        match holder.first() {
            Some(row) => Ok(SentEvent::AlreadyThere(row.try_get("", "id")?)),
            // That event was deleted between the two statements, so the key is free again.
            None => match self.insert_event(connection, new, None).await? {
                Some(id) => Ok(SentEvent::New(id)),
                None => Err(StoreError::Conflict("the event key is taken and freed again and again".to_owned())),
            },
        }
    }

    /// Inserts an event; `None` if its key is taken.
    pub async fn insert_event<C: ConnectionTrait>(
        &self,
        connection: &C,
        new: &NewEvent,
        replay_of: Option<i64>,
    ) -> Result<Option<i64>, StoreError> {
        let sql = self.dialect.insert_new(
            "sexton_event (name, payload, event_key, replay_of)",
            &format!(
                "SELECT d.name, {}, d.event_key, d.replay_of FROM {}",
                self.dialect.json("d.payload"),
                self.dialect.rows("d", &NEW_EVENT_COLUMNS)
            ),
        );
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("name", new.name.clone())
                .json("payload", new.payload.as_ref())
                .set("event_key", new.key.clone())
                .set("replay_of", replay_of);
        });
        self.insert_one(connection, &sql, rows.into_value()).await
    }
}
