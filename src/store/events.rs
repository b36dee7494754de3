//! Events, for people: which there are, what became of them, and their repetition.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _};
use serde_json::json;
use sexton_client::domain::new_event::NewEvent;
pub use sexton_client::store::events::SentEvent;
use sexton_entities::{
    event, event_trigger,
    states::{AuditAction, AuditTarget, EventState},
};

use super::{Deed, Store, StoreError};

/// Selects events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only events of this name.
    pub name: Option<String>,
    /// Only events in this state.
    pub state: Option<EventState>,
    /// Maximum number of rows.
    pub limit: u64,
}

/// Events that need a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventTroubles {
    /// Events that have waited for longer than a minute, for a node or for one that has their trigger.
    pub waiting: i64,
    /// Events of the last day that no trigger is for.
    pub untaken: i64,
    /// Events of the last day of which no task could be made.
    pub refused: i64,
}

impl EventTroubles {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An event waits for long after this time, in milliseconds.
const LONG_MS: i64 = 60_000;
/// For this long an event that was refused or not taken counts, in milliseconds.
const LATELY_MS: i64 = 86_400_000;

impl Store {
    /// Lists events, the latest first. Rows that cannot be read are left out and reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<event::Model>, StoreError> {
        let mut query = event::Entity::find();
        if let Some(name) = &filter.name {
            query = query.filter(event::Column::Name.eq(name));
        }
        if let Some(state) = filter.state {
            query = query.filter(event::Column::State.eq(state));
        }
        let query = query.order_by_desc(event::Column::Id).limit(filter.limit).build(self.backend());
        self.readable(&self.db, query, "sexton_event", "id").await
    }

    /// One event; none if there is no such number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement, or the row cannot be read.
    pub async fn event(&self, id: i64) -> Result<Option<event::Model>, StoreError> {
        let query = event::Entity::find_by_id(id).build(self.backend());
        self.readable_one(query, &format!("event {id}")).await
    }

    /// What the triggers made of these events.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn fates_of_events(&self, events: &[i64]) -> Result<Vec<event_trigger::Model>, StoreError> {
        self.fates(event_trigger::Column::EventId.is_in(events.iter().copied())).await
    }

    /// From which events and triggers a task came.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn events_of_task(&self, task: i64) -> Result<Vec<event_trigger::Model>, StoreError> {
        self.fates(event_trigger::Column::TaskId.eq(task)).await
    }

    async fn fates(&self, condition: sea_orm::sea_query::SimpleExpr) -> Result<Vec<event_trigger::Model>, StoreError> {
        let query = event_trigger::Entity::find()
            .filter(condition)
            .order_by_asc(event_trigger::Column::EventId)
            .order_by_asc(event_trigger::Column::TriggerName)
            .build(self.backend());
        self.readable(&self.db, query, "sexton_event_trigger", "event_id").await
    }

    /// Sends an event by hand, and records who did it.
    ///
    /// # Errors
    /// If the event is invalid, or the database is unavailable: then nothing was sent.
    pub async fn send_event_by_hand(&self, new: &NewEvent) -> Result<SentEvent, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let sent = self.send_event(&transaction, new).await?;
            if let SentEvent::New(id) = sent {
                let deed = Deed::new(AuditAction::Send, AuditTarget::Event, new.name.as_str());
                self.record_deeds(&transaction, &[deed.from_to(None, json!({ "event": id }))]).await?;
            }
            self.commit(transaction).await?;
            Ok(sent)
        })
        .await
    }

    /// Sends an event again, as a new event without a key, and records who did it. Returns the number of the new one; none
    /// if there is no such event.
    ///
    /// # Errors
    /// If the payload cannot be read, or the database is unavailable or refuses a statement.
    pub async fn replay_event(&self, id: i64) -> Result<Option<i64>, StoreError> {
        let Some(old) = self.event(id).await? else { return Ok(None) };
        let new = NewEvent { payload: old.payload, ..NewEvent::new(old.name) };
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let replayed = self.insert_event(&transaction, &new, Some(id)).await?;
            let deed = Deed::new(AuditAction::Replay, AuditTarget::Event, new.name.as_str());
            let deed = deed.from_to(json!({ "event": id }), json!({ "event": replayed }));
            self.record_deeds(&transaction, &[deed]).await?;
            self.commit(transaction).await?;
            Ok(replayed)
        })
        .await
    }

    /// Events that wait for long, and those of the last day that nobody takes or of which no task could be made.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn event_troubles(&self) -> Result<EventTroubles, StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let sql = format!(
            "SELECT state, COUNT(*) AS events FROM sexton_event WHERE state IN ('new', 'waiting') AND created_at < {before} \
             GROUP BY state UNION ALL SELECT state, COUNT(*) AS events FROM sexton_event \
             WHERE state IN ('untaken', 'refused') AND created_at > {before} GROUP BY state"
        );
        let mut found = EventTroubles::default();
        for row in self.all(&self.db, &sql, [(-LONG_MS).into(), (-LATELY_MS).into()]).await? {
            let (state, count): (String, i64) = (row.try_get("", "state")?, row.try_get("", "events")?);
            match EventState::from_word(&state) {
                Some(EventState::Untaken) => found.untaken += count,
                Some(EventState::Refused) => found.refused += count,
                _ => found.waiting += count,
            }
        }
        Ok(found)
    }
}
