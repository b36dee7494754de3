//! Schedules and the fire ledger.
//!
//! Every node works out what is due and tries to enter it; the key of the ledger admits one node for each instant. The
//! node that has entered an instant enqueues its task in the same transaction: no leader, and no instant twice.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QueryTrait as _};
use serde_json::Value;
use sexton_entities::{
    occurrence,
    states::{Fate, Origin},
};

use super::{Store, StoreError, connection::DatabaseTransaction, dialect::Kind, rows::Rows};
use crate::domain::{
    identity::QueueName,
    schedule::{
        missed_policy::Overlap,
        reason::{Reason, StandsFor, sentence},
        recurrence::Follows,
    },
};

/// A schedule as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Unique name, as written in `[task.NAME]` or `[schedule.NAME]`.
    pub name: String,
    /// Name of the task definition that it starts.
    pub task: String,
    /// Its recurrences as text. If the text changes, the schedule restarts.
    pub spec: String,
}

/// One instant that is to be entered in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// Name of the schedule.
    pub schedule: String,
    /// Its recurrences as text: it counts only while they are in force. `None` if it counts in any case.
    pub spec: Option<String>,
    /// The instant.
    pub due_at: DateTime<Utc>,
    /// Whether and how it runs.
    pub fate: Fate,
    /// Why it does not start on time. `None` if it does.
    pub reason: Option<Reason>,
    /// Earlier instants without an entry of their own that this entry accounts for.
    pub stands_for: Option<StandsFor>,
    /// What happens to it while an earlier run of its schedule is not finished.
    pub overlap: Overlap,
    /// It belongs to the start of a daemon: if its instant is taken, it moves to the next free one.
    pub at_start: bool,
    /// The next instant of the schedule.
    pub next_at: Option<DateTime<Utc>>,
    /// The schedules whose runs of this instant its task waits for; none if it waits for no run.
    pub follows: Option<Follows>,
    /// When its task may start, if that is later than now.
    pub run_at: Option<DateTime<Utc>>,
    /// When its task expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// Task definition of the task to enqueue.
    pub task: String,
    /// Queue of that task.
    pub queue: QueueName,
    /// Priority of that task.
    pub priority: i32,
    /// Payload of that task.
    pub payload: Option<Value>,
}

const SCHEDULE: [(&str, Kind); 3] = [("name", Kind::Text), ("task", Kind::Text), ("spec", Kind::Text)];
pub(super) const INSTANT: [(&str, Kind); 2] = [("schedule", Kind::Text), ("due_at", Kind::Instant)];
const UNLISTED: [(&str, Kind); 2] = [("schedule", Kind::Text), ("spec", Kind::Text)];
const ADVANCE: [(&str, Kind); 4] =
    [("schedule", Kind::Text), ("spec", Kind::Text), ("due_at", Kind::Instant), ("next_at", Kind::Instant)];
/// A schedule whose definition is in force.
pub(super) const IN_FORCE: &str = "(d.spec IS NULL OR s.spec = d.spec)";
const ENQUEUE: [(&str, Kind); 9] = [
    ("schedule", Kind::Text),
    ("due_at", Kind::Instant),
    ("run_at", Kind::Instant),
    ("expires_at", Kind::Instant),
    ("task", Kind::Text),
    ("queue", Kind::Text),
    ("priority", Kind::Integer),
    ("payload", Kind::Text),
    ("follows", Kind::Integer),
];
const SKIPPED: [(&str, Kind); 7] = [
    ("schedule", Kind::Text),
    ("due_at", Kind::Instant),
    ("task", Kind::Text),
    ("queue", Kind::Text),
    ("payload", Kind::Text),
    ("error", Kind::Text),
    ("if_paused", Kind::Text),
];

impl Store {
    /// Inserts new schedules and restarts edited ones. Returns for every schedule the instant up to which the ledger is
    /// complete. A new or edited schedule starts now: earlier instants do not fire.
    ///
    /// # Errors
    /// If the database is not available or refuses a statement.
    pub async fn sync_schedules(
        &self,
        schedules: &[ScheduleRow],
    ) -> Result<HashMap<String, DateTime<Utc>>, StoreError> {
        let seen: HashMap<&str, &ScheduleRow> = schedules.iter().map(|row| (row.name.as_str(), row)).collect();
        self.with_retries(async || {
            // Whether each that is known is as it was seen.
            let mut known: HashMap<String, bool> = HashMap::new();
            self.each_schedule_row(|row| {
                let is_same = |seen: &&ScheduleRow| row.task == seen.task && row.spec == seen.spec;
                let is_in_force = row.removed_at.is_none() && row.origin == Origin::Config;
                let is_same = is_in_force && seen.get(row.name.as_str()).is_some_and(is_same);
                known.insert(row.name, is_same);
            })
            .await?;
            let is_same = |seen: &&ScheduleRow| known.get(&seen.name) == Some(&true);
            let (fresh, edited): (Vec<_>, Vec<_>) =
                schedules.iter().filter(|seen| !is_same(seen)).partition(|seen| !known.contains_key(&seen.name));
            let rows_sql = self.dialect.rows("d", &SCHEDULE);
            if !fresh.is_empty() {
                let sql = self.dialect.insert_new(
                    "sexton_schedule (name, task, spec, origin)",
                    &format!("SELECT d.name, d.task, d.spec, 'config' FROM {rows_sql}"),
                );
                self.run(&self.db, &sql, [self.schedule_rows(&fresh)]).await?;
            }
            if !edited.is_empty() {
                let now = self.dialect.now();
                let sets = [
                    // The file goes before the database. MariaDB and MySQL set the columns in this order.
                    ("shadowed_task", "CASE WHEN t.origin = 'database' THEN t.task ELSE t.shadowed_task END"),
                    ("origin", "'config'"),
                    ("task", "d.task"),
                    ("spec", "d.spec"),
                    ("last_at", now),
                    ("next_at", "NULL"),
                    ("removed_at", "NULL"),
                    // The node says next that it has defined it.
                    ("defined_on", "NULL"),
                    // A success of an instant before the edit is not expected.
                    ("excused_until", now),
                    ("expected_by", "NULL"),
                ];
                let sql = self.dialect.update_joined("sexton_schedule", &sets, &rows_sql, "t.name = d.name");
                self.run(&self.db, &sql, [self.schedule_rows(&edited)]).await?;
            }
            let mut last = HashMap::new();
            self.each_schedule(|row| last.extend([(row.name, row.last_at)])).await?;
            Ok(last)
        })
        .await
    }

    fn schedule_rows(&self, schedules: &[&ScheduleRow]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for seen in schedules {
            rows.push(|row| {
                row.set("name", seen.name.clone()).set("task", seen.task.clone()).set("spec", seen.spec.clone());
            });
        }
        rows.into_value()
    }

    /// Deletes schedules that are no longer in the configuration. Their ledger stays. One that is paused is marked as
    /// removed, so that it is still paused if it comes back.
    ///
    /// # Errors
    /// If the database is not available or refuses a statement.
    pub async fn forget_schedules(&self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            self.forget_schedule(name, "", &[]).await?;
        }
        Ok(())
    }

    /// The schedules whose instants this transaction has entered as fired or late.
    pub(super) async fn entered(
        &self,
        transaction: &DatabaseTransaction,
        entry: &str,
        firings: &[Firing],
    ) -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT d.schedule {}", self.joined(&INSTANT, "IN ('fired', 'late')"));
        let rows = self.all(transaction, &sql, [self.firing_rows(firings), entry.into()]).await?;
        rows.iter().map(|row| Ok(row.try_get("", "schedule")?)).collect()
    }

    pub(super) async fn enqueue_entered(
        &self,
        transaction: &DatabaseTransaction,
        entry: &str,
        firings: &[Firing],
    ) -> Result<(), StoreError> {
        let now = self.dialect.now();
        let sql = format!(
            "INSERT INTO sexton_task (name, queue, priority, payload, schedule, due_at, run_at, expires_at, state) \
             SELECT d.task, d.queue, d.priority, {}, d.schedule, d.due_at, COALESCE(d.run_at, {now}), d.expires_at, \
             CASE WHEN d.follows = 1 THEN 'waiting' WHEN d.run_at > {now} THEN 'scheduled' ELSE 'available' END {}",
            self.dialect.json("d.payload"),
            self.joined(&ENQUEUE, "IN ('fired', 'late')")
        );
        self.run(transaction, &sql, [self.firing_rows(firings), entry.into()]).await?;
        Ok(())
    }

    /// Writes skipped instants into history, with the sentence of their reason as the error. A schedule that was paused
    /// in the meantime has another reason than the firing.
    pub(super) async fn record_skipped(
        &self,
        transaction: &DatabaseTransaction,
        node: &str,
        entry: &str,
        firings: &[Firing],
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sexton_history (name, queue, payload, schedule, due_at, finished_at, node, outcome, reason_code, error) \
             SELECT d.task, d.queue, {}, d.schedule, d.due_at, {}, {}, 'skipped', o.reason_code, \
             CASE WHEN o.reason_code = 'paused' THEN d.if_paused ELSE d.error END {}",
            self.dialect.json("d.payload"),
            self.dialect.now(),
            self.dialect.text_parameter(),
            self.joined(&SKIPPED, "= 'skipped'")
        );
        self.run(transaction, &sql, [node.into(), self.firing_rows(firings), entry.into()]).await?;
        Ok(())
    }

    /// The end of a select: the instants that this transaction has entered with a certain fate.
    pub(super) fn joined(&self, columns: &[(&str, Kind)], fate: &str) -> String {
        format!(
            "FROM {} JOIN sexton_occurrence o ON o.schedule = d.schedule AND o.due_at = d.due_at \
             WHERE o.entry = ? AND o.fate {fate} ORDER BY d.due_at, d.schedule",
            self.dialect.rows("d", columns)
        )
    }

    /// Moves the schedules to their latest instants.
    pub(super) async fn advance(
        &self,
        transaction: &DatabaseTransaction,
        firings: &[Firing],
    ) -> Result<(), StoreError> {
        // One row for each schedule: with several, the database would use any one of them.
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
        let rows = self.dialect.rows("d", &ADVANCE);
        let on = "t.name = d.schedule AND t.last_at < d.due_at AND (d.spec IS NULL OR t.spec = d.spec)";
        let sql = self.dialect.update_joined("sexton_schedule", &sets, &rows, on);
        self.run(transaction, &sql, [self.firing_rows(&latest)]).await?;
        Ok(())
    }

    pub(super) fn firing_rows(&self, firings: &[Firing]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for firing in firings {
            let told = |reason| sentence(reason, firing.stands_for);
            let error = (firing.fate == Fate::Skipped).then(|| told(firing.reason.as_ref())).flatten();
            rows.push(|row| {
                row.set("schedule", firing.schedule.clone())
                    .set("spec", firing.spec.clone())
                    .at("due_at", firing.due_at)
                    .set("error", error)
                    .set("if_paused", told(Some(&Reason::Paused)))
                    .at("next_at", firing.next_at)
                    .at("run_at", firing.run_at)
                    .at("expires_at", firing.expires_at)
                    .set("task", firing.task.clone())
                    .set("queue", firing.queue.as_str())
                    .set("priority", firing.priority)
                    .json("payload", firing.payload.as_ref())
                    .set("follows", firing.follows.is_some().then_some(1));
            });
        }
        rows.into_value()
    }

    /// Whether at least one of these schedules has no row, or is defined differently by now.
    ///
    /// # Errors
    /// If the database is not available or refuses the query.
    pub async fn is_any_unlisted(&self, firings: &[Firing]) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT d.schedule FROM {} LEFT JOIN sexton_schedule s ON s.name = d.schedule AND s.removed_at IS NULL \
             WHERE s.name IS NULL OR NOT {IN_FORCE} LIMIT 1",
            self.dialect.rows("d", &UNLISTED)
        );
        Ok(!self.all(&self.db, &sql, [self.firing_rows(firings)]).await?.is_empty())
    }

    /// Moves the waiting runs of schedules to the queue and priority of the next runs: `(schedule, queue, priority)`. Runs
    /// that wait for one another would otherwise wait for one in a queue that has no workers any more.
    ///
    /// # Errors
    /// If the database is not available or refuses the statement.
    pub async fn move_waiting(&self, schedules: &[(&str, &str, i32)]) -> Result<(), StoreError> {
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

    /// Sets the next instant of schedules that no node has fired since their start.
    ///
    /// # Errors
    /// If the database is not available or refuses the statement.
    pub async fn set_next_run(&self, next: &[(String, DateTime<Utc>)]) -> Result<(), StoreError> {
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

    /// The latest `limit` entries of a schedule in the ledger, newest first.
    ///
    /// # Errors
    /// If the database is not available or refuses the query.
    pub async fn occurrences(&self, schedule: &str, limit: u64) -> Result<Vec<occurrence::Model>, StoreError> {
        use sea_orm::QuerySelect as _;
        let query = occurrence::Entity::find()
            .filter(occurrence::Column::Schedule.eq(schedule))
            .order_by_desc(occurrence::Column::DueAt)
            .limit(limit)
            .build(self.backend());
        self.readable(&self.db, query, "sexton_occurrence", "schedule").await
    }
}
