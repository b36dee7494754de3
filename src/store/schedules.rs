//! Schedules and the fire ledger.
//!
//! Every node works out what is due and tries to enter it; the ledger's key lets one of them in. Whoever has
//! entered an instant enqueues its task in the same transaction: no leader, and no instant twice.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder};
use serde_json::Value;
use sexton_entities::{occurrence, schedule, states::Fate};

use super::{Store, StoreError, dialect::Kind, rows::Rows};
use crate::domain::{
    identity::QueueName,
    schedule::policy::{Overlap, in_full},
};

/// A schedule as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// The task definition that it starts.
    pub task: String,
    /// Its recurrences as text; when they change, the schedule begins anew.
    pub spec: String,
}

/// One instant that is to be entered in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// The schedule.
    pub schedule: String,
    /// The instant.
    pub due_at: DateTime<Utc>,
    /// What is to become of it.
    pub fate: Fate,
    /// Why, where it does not start on time.
    pub reason: Option<String>,
    /// How many instants before it have no place in the ledger, in words.
    pub sum: Option<String>,
    /// What becomes of it while an earlier run of its schedule is not finished.
    pub overlap: Overlap,
    /// It comes with the start of a daemon: if its instant is taken, it has one behind it.
    pub at_start: bool,
    /// The instant after it.
    pub next_at: Option<DateTime<Utc>>,
    /// When its task is to begin, where that is later.
    pub run_at: Option<DateTime<Utc>>,
    /// The task to enqueue.
    pub task: String,
    /// Its queue.
    pub queue: QueueName,
    /// Its priority.
    pub priority: i32,
    /// Its payload.
    pub payload: Option<Value>,
}

const SIGHTING: [(&str, Kind); 3] = [("name", Kind::Text), ("task", Kind::Text), ("spec", Kind::Text)];
const FIRING: [(&str, Kind); 11] = [
    ("schedule", Kind::Text),
    ("due_at", Kind::Instant),
    ("fate", Kind::Text),
    ("reason", Kind::Text),
    ("if_paused", Kind::Text),
    ("next_at", Kind::Instant),
    ("run_at", Kind::Instant),
    ("task", Kind::Text),
    ("queue", Kind::Text),
    ("priority", Kind::Integer),
    ("payload", Kind::Text),
];

impl Store {
    /// Enters schedules that are new, begins those anew that were edited, and gives for each the instant until
    /// which everything has been dealt with. A new or edited one starts now: nothing fires in retrospect.
    pub async fn sight(&self, sightings: &[ScheduleRow]) -> Result<HashMap<String, DateTime<Utc>>, StoreError> {
        self.with_retries(async || {
            let known: HashMap<String, (String, String)> =
                self.schedules().await?.into_iter().map(|known| (known.name, (known.task, known.spec))).collect();
            let is_same = |seen: &&ScheduleRow| {
                known.get(&seen.name).is_some_and(|(task, spec)| *task == seen.task && *spec == seen.spec)
            };
            let (fresh, edited): (Vec<_>, Vec<_>) =
                sightings.iter().filter(|seen| !is_same(seen)).partition(|seen| !known.contains_key(&seen.name));
            let rows_sql = self.dialect.rows("d", &SIGHTING);
            if !fresh.is_empty() {
                let sql = self.dialect.insert_new(
                    "sexton_schedule (name, task, spec, origin)",
                    &format!("SELECT d.name, d.task, d.spec, 'config' FROM {rows_sql}"),
                );
                self.run(&self.db, &sql, [self.sighting_rows(&fresh)]).await?;
            }
            if !edited.is_empty() {
                let now = self.dialect.now();
                let sets = [("task", "d.task"), ("spec", "d.spec"), ("last_at", now), ("next_at", "NULL")];
                let sql = self.dialect.update_joined("sexton_schedule", &sets, &rows_sql, "t.name = d.name");
                self.run(&self.db, &sql, [self.sighting_rows(&edited)]).await?;
            }
            Ok(self.schedules().await?.into_iter().map(|known| (known.name, known.last_at)).collect())
        })
        .await
    }

    fn sighting_rows(&self, sightings: &[&ScheduleRow]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for seen in sightings {
            rows.push(|row| {
                row.set("name", seen.name.clone()).set("task", seen.task.clone()).set("spec", seen.spec.clone());
            });
        }
        rows.into_value()
    }

    /// Takes schedules off that the configuration has no more.
    pub async fn forget_schedules(&self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            schedule::Entity::delete_by_id(name.clone()).exec(&self.db).await?;
        }
        Ok(())
    }

    /// Enters instants in the ledger and enqueues their tasks; gives the schedules whose task was enqueued by
    /// this call. What another node has entered already is left alone, and so is a schedule that is not listed.
    pub async fn fire(&self, node: &str, firings: &[Firing]) -> Result<Vec<String>, StoreError> {
        self.with_retries(async || {
            let entry = uuid::Uuid::new_v4().simple().to_string();
            let transaction = self.begin().await?;
            let firings = &*self.look_back(&transaction, firings).await?;
            self.enter(&transaction, node, &entry, firings).await?;
            let fired = self.entered(&transaction, &entry, firings).await?;
            if !fired.is_empty() {
                self.enqueue_entered(&transaction, &entry, firings).await?;
            }
            self.record_skipped(&transaction, node, &entry, firings).await?;
            self.advance(&transaction, firings).await?;
            self.commit(transaction).await?;
            Ok(fired)
        })
        .await
    }

    /// The ledger's rows. Whether a schedule is paused is read in the same transaction, so that a pause counts at once.
    async fn enter(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        entry: &str,
        firings: &[Firing],
    ) -> Result<u64, StoreError> {
        let paused = "s.paused AND d.fate <> 'coalesced'";
        let select = format!(
            "SELECT d.schedule, d.due_at, CASE WHEN {paused} THEN 'skipped' ELSE d.fate END, \
             CASE WHEN {paused} THEN d.if_paused ELSE d.reason END, {text}, {text} \
             FROM {} JOIN sexton_schedule s ON s.name = d.schedule AND (d.fate = 'coalesced' OR s.last_at < d.due_at)",
            self.dialect.rows("d", &FIRING),
            text = self.dialect.text_parameter(),
        );
        let sql = self.dialect.insert_new("sexton_occurrence (schedule, due_at, fate, reason, node, entry)", &select);
        self.run(transaction, &sql, [node.into(), entry.into(), self.firing_rows(firings)]).await
    }

    /// The schedules whose instant this transaction has entered as fired.
    async fn entered(
        &self,
        transaction: &DatabaseTransaction,
        entry: &str,
        firings: &[Firing],
    ) -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT d.schedule {}", self.joined("IN ('fired', 'late')"));
        let rows = self.all(transaction, &sql, [self.firing_rows(firings), entry.into()]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "schedule")?)).collect()
    }

    async fn enqueue_entered(
        &self,
        transaction: &DatabaseTransaction,
        entry: &str,
        firings: &[Firing],
    ) -> Result<(), StoreError> {
        let now = self.dialect.now();
        let sql = format!(
            "INSERT INTO sexton_task (name, queue, priority, payload, schedule, due_at, run_at, state) \
             SELECT d.task, d.queue, d.priority, {}, d.schedule, d.due_at, COALESCE(d.run_at, {now}), \
             CASE WHEN d.run_at > {now} THEN 'scheduled' ELSE 'available' END {}",
            self.dialect.json("d.payload"),
            self.joined("IN ('fired', 'late')")
        );
        self.run(transaction, &sql, [self.firing_rows(firings), entry.into()]).await?;
        Ok(())
    }

    async fn record_skipped(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        entry: &str,
        firings: &[Firing],
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sexton_history (name, queue, payload, schedule, due_at, finished_at, node, outcome, error) \
             SELECT d.task, d.queue, {}, d.schedule, d.due_at, {}, {}, 'skipped', o.reason {}",
            self.dialect.json("d.payload"),
            self.dialect.now(),
            self.dialect.text_parameter(),
            self.joined("= 'skipped'")
        );
        self.run(transaction, &sql, [node.into(), self.firing_rows(firings), entry.into()]).await?;
        Ok(())
    }

    /// The instants of this transaction with a certain fate, as the end of a select.
    fn joined(&self, fate: &str) -> String {
        format!(
            "FROM {} JOIN sexton_occurrence o ON o.schedule = d.schedule AND o.due_at = d.due_at \
             WHERE o.entry = ? AND o.fate {fate} ORDER BY d.due_at, d.schedule",
            self.dialect.rows("d", &FIRING)
        )
    }

    async fn advance(&self, transaction: &DatabaseTransaction, firings: &[Firing]) -> Result<(), StoreError> {
        // One row for each schedule: of several, a database may take any.
        let mut latest: HashMap<&str, &Firing> = HashMap::new();
        for firing in firings {
            let known = latest.entry(&firing.schedule).or_insert(firing);
            if known.due_at < firing.due_at {
                *known = firing;
            }
        }
        let mut latest: Vec<Firing> = latest.into_values().cloned().collect();
        latest.sort_by(|a, b| a.schedule.cmp(&b.schedule));
        let sets = [("last_at", "d.due_at"), ("next_at", "d.next_at")];
        let rows = self.dialect.rows("d", &FIRING);
        let on = "t.name = d.schedule AND t.last_at < d.due_at";
        let sql = self.dialect.update_joined("sexton_schedule", &sets, &rows, on);
        self.run(transaction, &sql, [self.firing_rows(&latest)]).await?;
        Ok(())
    }

    fn firing_rows(&self, firings: &[Firing]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for firing in firings {
            let sum = firing.sum.as_deref();
            rows.push(|row| {
                row.set("schedule", firing.schedule.clone())
                    .at("due_at", firing.due_at)
                    .set("fate", firing.fate.as_str())
                    .set("reason", in_full(firing.reason.as_deref(), sum))
                    .set("if_paused", in_full(Some("the schedule is paused"), sum))
                    .at("next_at", firing.next_at)
                    .at("run_at", firing.run_at)
                    .set("task", firing.task.clone())
                    .set("queue", firing.queue.as_str())
                    .set("priority", firing.priority)
                    .json("payload", firing.payload.as_ref());
            });
        }
        rows.into_value()
    }

    /// Whether one of these schedules is not listed any more.
    pub async fn is_any_unlisted(&self, firings: &[Firing]) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT d.schedule FROM {} LEFT JOIN sexton_schedule s ON s.name = d.schedule WHERE s.name IS NULL LIMIT 1",
            self.dialect.rows("d", &FIRING)
        );
        Ok(!self.all(&self.db, &sql, [self.firing_rows(firings)]).await?.is_empty())
    }

    /// Moves the waiting runs of schedules to where the next ones will wait: `(schedule, queue, priority)`. Runs that wait
    /// for one another would otherwise wait for one in a queue of which nobody thinks any more.
    pub async fn follow(&self, schedules: &[(&str, &str, i32)]) -> Result<(), StoreError> {
        const PLACE: [(&str, Kind); 3] = [("schedule", Kind::Text), ("queue", Kind::Text), ("priority", Kind::Integer)];
        if schedules.is_empty() {
            return Ok(());
        }
        let on =
            "t.schedule = d.schedule AND t.state <> 'running' AND (t.queue <> d.queue OR t.priority <> d.priority)";
        let sets = [("queue", "d.queue"), ("priority", "d.priority")];
        let sql = self.dialect.update_joined("sexton_task", &sets, &self.dialect.rows("d", &PLACE), on);
        self.with_retries(async || {
            let mut rows = Rows::new(self.dialect);
            for (schedule, queue, priority) in schedules {
                rows.push(|row| {
                    row.set("schedule", *schedule).set("queue", *queue).set("priority", *priority);
                });
            }
            self.run(&self.db, &sql, [rows.into_value()]).await.map(|_| ())
        })
        .await
    }

    /// Notes when schedules come next, where nobody has fired them yet.
    pub async fn announce(&self, next: &[(String, DateTime<Utc>)]) -> Result<(), StoreError> {
        const NEXT: [(&str, Kind); 2] = [("schedule", Kind::Text), ("next_at", Kind::Instant)];
        if next.is_empty() {
            return Ok(());
        }
        let on = "t.name = d.schedule AND t.next_at IS NULL";
        let sql = self.dialect.update_joined(
            "sexton_schedule",
            &[("next_at", "d.next_at")],
            &self.dialect.rows("d", &NEXT),
            on,
        );
        self.with_retries(async || {
            let mut rows = Rows::new(self.dialect);
            for (name, at) in next {
                rows.push(|row| {
                    row.set("schedule", name.clone()).at("next_at", *at);
                });
            }
            self.run(&self.db, &sql, [rows.into_value()]).await.map(|_| ())
        })
        .await
    }

    /// All schedules, by name.
    pub async fn schedules(&self) -> Result<Vec<schedule::Model>, StoreError> {
        Ok(schedule::Entity::find().order_by_asc(schedule::Column::Name).all(&self.db).await?)
    }

    /// Pauses a schedule, or lets it go on; false where there is none of that name.
    pub async fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE sexton_schedule SET paused = ? WHERE name = ?";
        let changed = self.with_retries(async || self.run(&self.db, sql, [paused.into(), name.into()]).await).await?;
        Ok(changed > 0)
    }

    /// The latest entries of a schedule in the ledger, the newest first.
    pub async fn occurrences(&self, schedule: &str, limit: u64) -> Result<Vec<occurrence::Model>, StoreError> {
        use sea_orm::QuerySelect as _;
        Ok(occurrence::Entity::find()
            .filter(occurrence::Column::Schedule.eq(schedule))
            .order_by_desc(occurrence::Column::DueAt)
            .limit(limit)
            .all(&self.db)
            .await?)
    }
}
