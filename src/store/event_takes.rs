//! How events are consumed: the first node that sees one enters for which triggers it is to wait, and a node that has such
//! a trigger makes its task, in the transaction in which it notes that.

use std::sync::Arc;

use sea_orm::{QueryResult, Value};
use sexton_entities::{
    json_text::JsonText,
    states::{EventFate, ProblemKind},
};

use super::{
    Enqueued, Store, StoreError,
    claim::ID_COLUMN,
    connection::DatabaseTransaction,
    dialect::Kind,
    row_decoding::{column, existing_instant},
    rows::Rows,
};
use crate::domain::{
    event::{EventFacts, Trigger, TriggerDecision},
    problem::{Sighting, one_each},
    task::names::TaskNames,
};

const TAKEN: [(&str, Kind); 5] = [
    ("event_id", Kind::Integer),
    ("trigger_name", Kind::Text),
    ("fate", Kind::Text),
    ("task_id", Kind::Integer),
    ("reason", Kind::Text),
];

/// What [`Store::take_events`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenEvents {
    /// The number of events and triggers that were dealt with.
    pub taken: usize,
    /// The number of tasks that were enqueued.
    pub tasks: usize,
    /// The events of which no task could be made: number, trigger, and why.
    pub refused: Vec<(i64, String, String)>,
    /// Whether some of the tasks begin later.
    pub is_any_later: bool,
    /// Whether more may wait.
    pub has_more: bool,
}

/// One event and one trigger that is to deal with it.
struct WaitingEvent {
    id: i64,
    trigger: String,
    event: Result<EventFacts, String>,
}

/// What became of it.
pub(super) struct TriggerResult {
    pub(super) fate: EventFate,
    pub(super) task: Option<i64>,
    pub(super) reason: Option<String>,
}

impl Store {
    /// Enters for which triggers new events are to wait; at most `limit` events. Returns their number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn distribute_events(&self, node: &str, limit: usize) -> Result<usize, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let sql = format!(
                "SELECT id, name FROM sexton_event WHERE state = 'new' ORDER BY id LIMIT {limit} {}",
                self.dialect.for_update()
            );
            let mut events: Vec<(i64, String)> = Vec::new();
            for row in self.all(&transaction, &sql, []).await? {
                events.push((row.try_get("", "id")?, row.try_get("", "name")?));
            }
            if events.is_empty() {
                return Ok(0);
            }
            // After the events are locked: a node that registers a trigger later finds them by itself.
            let triggers = self.registered_triggers(&transaction).await?;
            let mut pairs: Vec<(i64, String)> = Vec::new();
            for (id, name) in &events {
                let mut wanted: Vec<&str> =
                    triggers.iter().filter(|trigger| trigger.matches(name)).map(|trigger| trigger.name()).collect();
                wanted.sort_unstable();
                wanted.dedup();
                pairs.extend(wanted.into_iter().map(|trigger| (*id, trigger.to_owned())));
            }
            if !pairs.is_empty() {
                self.insert_waiting(&transaction, &pairs).await?;
            }
            let ids: Vec<i64> = events.iter().map(|(id, _)| *id).collect();
            self.settle_events(&transaction, node, &ids).await?;
            self.commit(transaction).await?;
            Ok(events.len())
        })
        .await
    }

    /// Makes tasks of the events that wait for one of these triggers; at most `limit` of them. An event that the database
    /// refuses is noted with its answer, and does not keep the others back.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn take_events(
        &self,
        node: &str,
        triggers: &[Arc<Trigger>],
        limit: usize,
    ) -> Result<TakenEvents, StoreError> {
        let mut portion = limit.max(1);
        loop {
            let taking = self.with_retries(async || self.take_portion(node, triggers, portion, None).await).await;
            match taking {
                Err(error) if error.is_outage() => return Err(error),
                Err(_) if portion > 1 => portion /= 2,
                Err(error) => {
                    let why = error.cause();
                    return self.with_retries(async || self.take_portion(node, triggers, 1, Some(&why)).await).await;
                }
                taken => return taken,
            }
        }
    }

    /// Takes a portion. With `refusal`, no task is made of it, for that reason.
    async fn take_portion(
        &self,
        node: &str,
        triggers: &[Arc<Trigger>],
        limit: usize,
        refusal: Option<&str>,
    ) -> Result<TakenEvents, StoreError> {
        let names: TaskNames = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
        let sql = format!(
            "SELECT e.id AS id, e.name AS name, e.payload AS payload, e.created_at AS created_at, \
             w.trigger_name AS trigger_name FROM sexton_event_trigger w JOIN sexton_event e ON e.id = w.event_id \
             WHERE w.fate = 'waiting' AND {} ORDER BY w.event_id, w.trigger_name LIMIT {limit} {}",
            self.dialect.is_known("w.trigger_name"),
            self.dialect.for_update()
        );
        let transaction = self.begin().await?;
        let mut taken: Vec<(WaitingEvent, TriggerResult)> = Vec::new();
        let mut summary = TakenEvents::default();
        let mut sightings = Vec::new();
        for row in self.all(&transaction, &sql, [self.known(&names)]).await? {
            let waiting = waiting_event(&row)?;
            let Some(trigger) = triggers.iter().find(|trigger| trigger.name == waiting.trigger) else { continue };
            let result = match (refusal, &waiting.event) {
                (Some(why), _) => TriggerResult::refused(why),
                (None, Err(why)) => TriggerResult::refused(why),
                (None, Ok(event)) => match trigger.decide(event, self.max_payload()) {
                    TriggerDecision::NotMet(why) => {
                        TriggerResult { fate: EventFate::NotMet, task: None, reason: Some(why) }
                    }
                    TriggerDecision::Refused(why) => TriggerResult::refused(&why),
                    TriggerDecision::Enqueue(task, key) => {
                        summary.is_any_later |= task.delay.is_some();
                        match trigger.pace.as_ref().zip(key) {
                            Some((pace, key)) => self.enqueue_paced(&transaction, trigger, pace, &key, &task).await?,
                            None => TriggerResult::enqueued(self.enqueue(&transaction, &task).await?),
                        }
                    }
                },
            };
            match result.fate {
                EventFate::Enqueued => summary.tasks += 1,
                EventFate::Refused => {
                    let why = result.reason.clone().unwrap_or_default();
                    sightings.push(refusal_of(trigger, waiting.id, &why));
                    summary.refused.push((waiting.id, waiting.trigger.clone(), why));
                }
                _ => {}
            }
            taken.push((waiting, result));
        }
        if taken.is_empty() {
            return Ok(summary);
        }
        self.note_taken(&transaction, node, &taken).await?;
        if !sightings.is_empty() {
            let sightings: Vec<_> =
                sightings.into_iter().map(|found| Sighting { node: Some(node.to_owned()), ..found }).collect();
            self.count_problems(&transaction, &one_each(sightings)).await?;
        }
        self.commit(transaction).await?;
        summary.taken = taken.len();
        summary.has_more = taken.len() == limit;
        Ok(summary)
    }

    async fn note_taken(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        taken: &[(WaitingEvent, TriggerResult)],
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        for (waiting, result) in taken {
            rows.push(|row| {
                row.set("event_id", waiting.id)
                    .set("trigger_name", waiting.trigger.clone())
                    .set("fate", result.fate.as_str())
                    .set("task_id", result.task)
                    .set("reason", result.reason.as_deref().map(|why| why.replace('\0', "")));
            });
        }
        let sets = [
            ("fate", "d.fate"),
            ("task_id", "d.task_id"),
            ("reason", "d.reason"),
            ("decided_at", self.dialect.now()),
            ("node", self.dialect.text_parameter()),
        ];
        let on = "t.event_id = d.event_id AND t.trigger_name = d.trigger_name";
        let sql = self.dialect.update_joined("sexton_event_trigger", &sets, &self.dialect.rows("d", &TAKEN), on);
        let values = self.dialect.joined_values([node.into()], rows.into_value());
        self.run(transaction, &sql, values).await?;
        for (waiting, _) in taken {
            if let Err(why) = &waiting.event {
                let sql = "UPDATE sexton_event SET mistake = ? WHERE id = ?";
                self.run(transaction, sql, [why.as_str().into(), waiting.id.into()]).await?;
            }
        }
        let ids: Vec<i64> = taken.iter().map(|(waiting, _)| waiting.id).collect();
        self.settle_events(transaction, node, &ids).await
    }

    /// Enters what has become of these events, by what has become of them for each trigger.
    pub(super) async fn settle_events(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        events: &[i64],
    ) -> Result<(), StoreError> {
        let any = |and: &str| format!("EXISTS (SELECT 1 FROM sexton_event_trigger w WHERE w.event_id = t.id{and})");
        let waits = any(" AND w.fate = 'waiting'");
        let state = format!(
            "CASE WHEN {waits} THEN 'waiting' WHEN {} THEN 'refused' WHEN {} THEN 'consumed' ELSE 'untaken' END",
            any(" AND w.fate = 'refused'"),
            any("")
        );
        let at = format!("CASE WHEN {waits} THEN NULL ELSE {} END", self.dialect.now());
        let by = format!("CASE WHEN {waits} THEN NULL ELSE {} END", self.dialect.text_parameter());
        let sets = [("state", state.as_str()), ("consumed_at", at.as_str()), ("node", by.as_str())];
        let rows = self.dialect.rows("d", &ID_COLUMN);
        let sql = self.dialect.update_joined("sexton_event", &sets, &rows, "t.id = d.id");
        let mut ids = events.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let values = self.dialect.joined_values([Value::from(node)], self.ids(ids));
        self.run(transaction, &sql, values).await.map(|_| ())
    }
}

impl TriggerResult {
    pub(super) fn enqueued(enqueued: Enqueued) -> Self {
        let fate = match enqueued {
            Enqueued::New(_) => EventFate::Enqueued,
            Enqueued::AlreadyThere(_) => EventFate::AlreadyThere,
        };
        Self { fate, task: Some(enqueued.id()), reason: None }
    }

    fn refused(why: &str) -> Self {
        Self { fate: EventFate::Refused, task: None, reason: Some(why.to_owned()) }
    }
}

/// The problem of a trigger that can make no task of an event.
fn refusal_of(trigger: &Trigger, event: i64, why: &str) -> Sighting {
    Sighting {
        task: Some(trigger.task.clone()),
        queue: Some(trigger.queue.to_string()),
        ..Sighting::now(ProblemKind::Trigger, trigger.name.as_str(), format!("event {event}: {why}"))
    }
}

fn waiting_event(row: &QueryResult) -> Result<WaitingEvent, StoreError> {
    let id: i64 = row.try_get("", "id")?;
    let facts = || {
        Ok(EventFacts {
            id,
            name: column(row, "name")?,
            payload: column::<Option<JsonText>>(row, "payload")?,
            created_at: existing_instant(row, "created_at")?,
        })
    };
    let event = facts().map_err(|unreadable: super::row_decoding::UnreadableColumn| unreadable.0);
    Ok(WaitingEvent { id, trigger: row.try_get("", "trigger_name")?, event })
}
