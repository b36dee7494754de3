//! Problems: occurrences are counted, and what an operator says of a problem is kept.
//!
//! One statement counts all occurrences of a batch, in the transaction that records them. The unique key makes several
//! nodes open one problem. A problem that comes back later begins its next episode in the same row.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _, TransactionTrait as _};
use serde_json::json;
use sexton_entities::{
    problem,
    states::{AuditAction, AuditTarget, Outcome, ProblemKind, ProblemState},
};

use super::{
    Store, StoreError,
    audit::{Deed, Signature, fitting},
    connection::DatabaseTransaction,
    dialect::Kind,
    rows::Rows,
};
use crate::domain::problem::{SETTLING, Sighting};

/// The columns that a sighting writes.
const COLUMNS: [(&str, Kind); 18] = [
    ("problem_key", Kind::Text),
    ("kind", Kind::Text),
    ("name", Kind::Text),
    ("outcome", Kind::Text),
    ("fingerprint", Kind::Text),
    ("what", Kind::Text),
    ("times", Kind::Integer),
    ("discarded", Kind::Integer),
    ("opened_at", Kind::Instant),
    ("seen_at", Kind::Instant),
    ("task", Kind::Text),
    ("schedule", Kind::Text),
    ("queue", Kind::Text),
    ("node", Kind::Text),
    ("task_id", Kind::Integer),
    ("fence", Kind::Integer),
    ("exit_code", Kind::Integer),
    ("next_at", Kind::Instant),
];
/// What the last occurrence replaces.
const REPLACED: [&str; 9] = ["what", "task", "schedule", "queue", "node", "task_id", "fence", "exit_code", "next_at"];

/// Selects problems.
#[derive(Clone, Debug, Default)]
pub struct ProblemFilter {
    /// Closed problems as well.
    pub with_closed: bool,
    /// Only problems of this kind.
    pub kind: Option<ProblemKind>,
    /// Only problems of the thing of this name.
    pub name: Option<String>,
    /// Maximum number of rows.
    pub limit: u64,
}

/// What an operator says of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemChange {
    /// It is known: no reminders.
    Acknowledge,
    /// It is silent for this time, also if it comes back.
    Mute(Duration),
    /// It is over.
    Close,
}

impl ProblemChange {
    fn action(self) -> AuditAction {
        match self {
            Self::Acknowledge => AuditAction::Acknowledge,
            Self::Mute(_) => AuditAction::Mute,
            Self::Close => AuditAction::Close,
        }
    }

    fn state(self) -> ProblemState {
        match self {
            Self::Acknowledge => ProblemState::Acknowledged,
            Self::Mute(_) => ProblemState::Muted,
            Self::Close => ProblemState::Closed,
        }
    }
}

impl Store {
    /// Counts occurrences of problems, and opens those that are new.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn note_problems(&self, sightings: &[Sighting]) -> Result<(), StoreError> {
        if sightings.is_empty() {
            return Ok(());
        }
        self.with_retries(async || {
            let transaction = self.begin().await?;
            self.count_problems(&transaction, sightings).await?;
            self.commit(transaction).await
        })
        .await
    }

    /// The same, in the transaction that records what has happened. Each problem may be among the sightings once. What the
    /// database refuses to count is reported, and costs neither the record nor the other problems.
    pub(super) async fn count_problems(
        &self,
        transaction: &DatabaseTransaction,
        sightings: &[Sighting],
    ) -> Result<(), StoreError> {
        if sightings.len() > 1 {
            match self.count_within(transaction, sightings).await {
                Err(error) if !error.is_outage() => {}
                result => return result,
            }
        }
        for sighting in sightings {
            let counted = self.count_within(transaction, std::slice::from_ref(sighting)).await;
            let what = format!("occurrences of the problem of {} {} cannot be counted", sighting.kind, sighting.name);
            self.isolated().part(what.as_str(), counted)?;
        }
        Ok(())
    }

    /// Counts them, or undoes its part of the transaction.
    async fn count_within(&self, transaction: &DatabaseTransaction, sightings: &[Sighting]) -> Result<(), StoreError> {
        let part = transaction.begin().await?;
        match self.upsert_problems(&part, sightings).await {
            Ok(()) => Ok(part.commit().await?),
            // The whole transaction is over.
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                part.rollback().await?;
                Err(error)
            }
        }
    }

    async fn upsert_problems(
        &self,
        transaction: &DatabaseTransaction,
        sightings: &[Sighting],
    ) -> Result<(), StoreError> {
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = names
            .iter()
            .map(|name| match *name {
                "opened_at" | "seen_at" => format!("COALESCE(d.{name}, {})", self.dialect.now()),
                name => format!("d.{name}"),
            })
            .collect();
        let sets = self.counting();
        let sql = self.dialect.upsert(
            ("sexton_problem", "problem_key"),
            &names.join(", "),
            &format!("SELECT {} FROM {}", values.join(", "), self.dialect.rows("d", &COLUMNS)),
            &sets,
        );
        let mut rows = Rows::new(self.dialect);
        for sighting in sightings {
            rows.push(|row| {
                row.set("problem_key", sighting.key())
                    .set("kind", sighting.kind.as_str())
                    .set("name", fitting(Some(&sighting.name), 255))
                    .set("outcome", sighting.outcome.map(Outcome::as_str))
                    .set("fingerprint", sighting.fingerprint.clone())
                    .set("what", sighting.what.clone())
                    .set("times", sighting.times)
                    .set("discarded", sighting.discarded)
                    .at("opened_at", sighting.first_at)
                    .at("seen_at", sighting.last_at)
                    .set("task", fitting(sighting.task.as_deref(), 150))
                    .set("schedule", fitting(sighting.schedule.as_deref(), 150))
                    .set("queue", fitting(sighting.queue.as_deref(), 100))
                    .set("node", fitting(sighting.node.as_deref(), 100))
                    .set("task_id", sighting.task_id)
                    .set("fence", sighting.fence)
                    .set("exit_code", sighting.exit_code)
                    .at("next_at", sighting.next_at);
            });
        }
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// How a known problem takes in further occurrences. MySQL evaluates the assignments one after the other, so that
    /// those which depend on the old state come first.
    fn counting(&self) -> Vec<(&'static str, String)> {
        let new = |column: &str| match column {
            "opened_at" | "seen_at" => format!("COALESCE({}, {})", self.dialect.proposed(column), self.dialect.now()),
            column => self.dialect.proposed(column),
        };
        let old = |column: &str| format!("sexton_problem.{column}");
        let settled = self.dialect.now_plus_millis(&format!("-{}", SETTLING.as_millis()));
        let is_back = format!("({} = 'closed' AND {} < {settled})", old("state"), old("closed_at"));
        let episode = |fresh: String, same: String| format!("CASE WHEN {is_back} THEN {fresh} ELSE {same} END");
        let sum = |column| episode(new(column), format!("{} + {}", old(column), new(column)));
        let mut sets = vec![
            ("times", sum("times")),
            ("discarded", sum("discarded")),
            ("episode", episode(format!("{} + 1", old("episode")), old("episode"))),
            ("notices", episode("0".to_owned(), old("notices"))),
            ("noticed_at", episode("NULL".to_owned(), old("noticed_at"))),
            ("opened_at", episode(new("opened_at"), old("opened_at"))),
        ];
        sets.extend(REPLACED.map(|column| (column, new(column))));
        let seen = format!("CASE WHEN {0} > {1} THEN {0} ELSE {1} END", new("seen_at"), old("seen_at"));
        let muted = format!("CASE WHEN {} > {} THEN 'muted' ELSE 'open' END", old("muted_until"), self.dialect.now());
        let state = format!("CASE WHEN {0} = 'closed' THEN {muted} ELSE {0} END", old("state"));
        sets.extend([
            ("seen_at", seen),
            ("end_noticed", "false".to_owned()),
            ("state", state),
            ("closed_at", "NULL".to_owned()),
        ]);
        sets
    }

    /// Lists problems: those that last first, the latest first. Rows that cannot be read are left out and reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn problems(&self, filter: &ProblemFilter) -> Result<Vec<problem::Model>, StoreError> {
        use problem::Column;
        let mut query = problem::Entity::find();
        if !filter.with_closed {
            query = query.filter(Column::State.ne(ProblemState::Closed));
        }
        if let Some(kind) = filter.kind {
            query = query.filter(Column::Kind.eq(kind));
        }
        if let Some(name) = &filter.name {
            query = query.filter(Column::Name.eq(name));
        }
        let query = query.order_by_desc(Column::SeenAt).limit(filter.limit).build(self.backend());
        let mut found: Vec<problem::Model> = self.readable(&self.db, query, "sexton_problem", "id").await?;
        found.sort_by_key(|problem| problem.state == ProblemState::Closed);
        Ok(found)
    }

    /// One problem; none if there is no such number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement, or the row cannot be read.
    pub async fn problem(&self, id: i64) -> Result<Option<problem::Model>, StoreError> {
        let query = problem::Entity::find_by_id(id).build(self.backend());
        self.readable_one(query, &format!("problem {id}")).await
    }

    /// Changes a problem that lasts, and records who did it. Returns false if there is no such problem, or it is closed.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn change_problem(&self, id: i64, change: ProblemChange) -> Result<bool, StoreError> {
        let now = self.dialect.now();
        let until = self.dialect.now_plus_millis("?");
        let (closed_at, muted_until) = match change {
            ProblemChange::Acknowledge => ("NULL", "muted_until"),
            ProblemChange::Mute(_) => ("NULL", until.as_str()),
            ProblemChange::Close => (now, "NULL"),
        };
        let sql = format!(
            "UPDATE sexton_problem SET state = ?, closed_at = {closed_at}, muted_until = {muted_until}, \
             end_noticed = ?, changed_by = ?, changed_host = ?, change_reason = ? WHERE id = ?"
        );
        let find = format!("SELECT state, muted_until FROM sexton_problem WHERE id = ? {}", self.dialect.for_update());
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let found = self.all(&transaction, &find, [id.into()]).await?;
            let Some(row) = found.first() else { return Ok(false) };
            let before: String = row.try_get("", "state")?;
            if before == ProblemState::Closed.as_str() {
                return Ok(false);
            }
            let Signature { by, host, reason } = self.signature();
            let mut values = vec![change.state().as_str().into()];
            if let ProblemChange::Mute(time) = change {
                values.push(i64::try_from(time.as_millis()).unwrap_or(i64::MAX).into());
            }
            // What an operator has closed needs no notice that it is over.
            let is_closed = change == ProblemChange::Close;
            values.extend([is_closed.into(), by.into(), host.into(), reason.into(), id.into()]);
            self.run(&transaction, &sql, values).await?;
            let mut after = json!({ "state": change.state().as_str() });
            if let ProblemChange::Mute(time) = change {
                after["for_s"] = time.as_secs().into();
            }
            let deed = Deed::new(change.action(), AuditTarget::Problem, id.to_string());
            let deed = deed.from_to(json!({ "state": before }), after);
            self.record_deeds(&transaction, &[deed]).await?;
            self.commit(transaction).await?;
            Ok(true)
        })
        .await
    }

    /// Closes the problems that are over: the same work has succeeded since, or the node is back. Problems whose mute has
    /// run out are open again. Returns the number of problems that it closed.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn close_problems(&self) -> Result<u64, StoreError> {
        let now = self.dialect.now();
        let lasts = "UPDATE sexton_problem SET state = 'closed', closed_at = {now} WHERE state <> 'closed'";
        let lasts = lasts.replace("{now}", now);
        let has_succeeded = format!(
            "{lasts} AND task IS NOT NULL AND EXISTS (SELECT 1 FROM sexton_history h WHERE h.name = sexton_problem.task \
             AND h.finished_at > sexton_problem.seen_at AND h.outcome = 'succeeded' \
             AND (sexton_problem.kind = 'task' \
             OR sexton_problem.kind IN ('schedule', 'overdue') AND h.schedule = sexton_problem.name))"
        );
        let is_back = format!(
            "{lasts} AND kind = 'node' AND EXISTS (SELECT 1 FROM sexton_node n WHERE n.name = sexton_problem.name \
             AND n.lease_expires_at > {now})"
        );
        let is_heard =
            format!("UPDATE sexton_problem SET state = 'open' WHERE state = 'muted' AND muted_until <= {now}");
        self.with_retries(async || {
            let closed = self.run(&self.db, &has_succeeded, []).await? + self.run(&self.db, &is_back, []).await?;
            self.run(&self.db, &is_heard, []).await?;
            Ok(closed)
        })
        .await
    }

    /// Closes the problems of a kind, except of the things that still have one.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn close_others(
        &self,
        kind: ProblemKind,
        node: Option<&str>,
        lasting: &[String],
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        for name in lasting {
            rows.push(|row| {
                row.set("name", name.clone());
            });
        }
        let text = self.dialect.text_parameter();
        let sql = format!(
            "UPDATE sexton_problem SET state = 'closed', closed_at = {} WHERE state <> 'closed' AND kind = ? \
             AND COALESCE(node, '') = COALESCE({text}, COALESCE(node, '')) \
             AND name NOT IN (SELECT k.name FROM {})",
            self.dialect.now(),
            self.dialect.rows("k", &[("name", Kind::Text)])
        );
        let rows = rows.into_value();
        self.with_retries(async || {
            self.run(&self.db, &sql, [kind.as_str().into(), node.into(), rows.clone()]).await.map(|_| ())
        })
        .await
    }

    /// Deletes problems that ended longer ago than `keep`.
    pub(super) async fn prune_problems(&self, age_ms: i64) -> Result<(), StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let sql = format!("DELETE FROM sexton_problem WHERE state = 'closed' AND closed_at < {before}");
        self.with_retries(async || self.run(&self.db, &sql, [age_ms.into()]).await).await.map(|_| ())
    }

    /// The queues in which a task has been waiting for `age` or longer although nothing kept it, and in which nothing has
    /// begun or ended meanwhile: each with the number of its waiting tasks and since when the first of them waits.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn stalled_queues(&self, age: Duration) -> Result<Vec<(String, i64, DateTime<Utc>)>, StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let sql = format!(
            "SELECT t.queue AS queue, t.tasks AS tasks, t.since AS since FROM (SELECT queue, COUNT(*) AS tasks, \
             MIN(run_at) AS since FROM sexton_task WHERE state = 'available' AND queue IS NOT NULL AND run_at < {before} \
             GROUP BY queue) t WHERE NOT EXISTS (SELECT 1 FROM sexton_queue q WHERE q.name = t.queue AND q.paused) \
             AND NOT EXISTS (SELECT 1 FROM sexton_database p WHERE p.paused) \
             AND NOT EXISTS (SELECT 1 FROM sexton_task r WHERE r.queue = t.queue AND r.state = 'running') \
             AND NOT EXISTS (SELECT 1 FROM sexton_history h WHERE h.queue = t.queue AND h.finished_at > {before})"
        );
        let age = i64::try_from(age.as_millis()).map_or(i64::MIN, |millis| -millis);
        let rows = self.all(&self.db, &sql, [age.into(), age.into()]).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "queue")?, row.try_get("", "tasks")?, row.try_get("", "since")?)))
            .collect()
    }
}
