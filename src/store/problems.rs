//! Problems: which there are, what an operator says of them, and which of them are over. `sightings.rs` counts their
//! occurrences.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _};
use serde_json::json;
use sexton_entities::{
    problem,
    states::{AuditAction, AuditTarget, ProblemKind, ProblemState},
};

use super::{
    Store, StoreError,
    audit::{Deed, Signature},
    dialect::Kind,
    row_decoding::instant,
    rows::{QUEUE_COLUMN, Rows},
};

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

/// The condition that a problem lasts.
pub(super) const LASTS: &str = "state <> 'closed'";

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
    /// How many occurrences of problems this process has noted. Their transactions may not have ended.
    pub fn problems_noted(&self) -> u64 {
        self.problems_noted.load(Ordering::Relaxed)
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
        let (closed_at, muted_until, noticed_at) = match change {
            ProblemChange::Acknowledge => ("NULL", "muted_until", "noticed_at"),
            ProblemChange::Mute(_) => ("NULL", until.as_str(), "noticed_at"),
            ProblemChange::Close => (now, "NULL", "NULL"),
        };
        let sql = format!(
            "UPDATE sexton_problem SET state = ?, closed_at = {closed_at}, muted_until = {muted_until}, \
             noticed_at = {noticed_at}, end_noticed = ?, changed_by = ?, changed_host = ?, change_reason = ? WHERE id = ?"
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

    /// Closes the problems that are over: the same work has succeeded since, the node is back, or the trigger makes tasks
    /// again. Problems whose mute has run out are open again. Returns the number of problems that it closed.
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
        // An event that was sent after the last refusal: by then it may have been mended.
        let takes_again = format!(
            "{lasts} AND kind = 'trigger' AND (EXISTS (SELECT 1 FROM sexton_event e JOIN sexton_event_trigger w \
             ON w.event_id = e.id WHERE e.created_at >= sexton_problem.seen_at AND w.trigger_name = sexton_problem.name \
             AND w.fate IN ('enqueued', 'debounced', 'throttled', 'already_there')) \
             OR NOT EXISTS (SELECT 1 FROM sexton_trigger r WHERE r.name = sexton_problem.name))"
        );
        let is_heard =
            format!("UPDATE sexton_problem SET state = 'open' WHERE state = 'muted' AND muted_until <= {now}");
        self.with_retries(async || {
            let mut closed = 0;
            for sql in [&has_succeeded, &is_back, &takes_again] {
                closed += self.run(&self.db, sql, []).await?;
            }
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

    /// The queues whose next task has been waiting for `age` or longer although nothing kept it, and in which nothing has
    /// begun or ended meanwhile: each with the number of its tasks that have waited that long, and since when the first of them
    /// waits. An application may have written something else than an instant there; then that is missing.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn stalled_queues(&self, age: Duration) -> Result<Vec<(String, i64, Option<DateTime<Utc>>)>, StoreError> {
        let waiting = self.queues_with_waiting_tasks().await?;
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let before = self.dialect.now_plus_millis("?");
        // A queue may have a million tasks: they are counted only where nothing goes on.
        let sql = format!(
            "SELECT d.name FROM {} WHERE NOT EXISTS (SELECT 1 FROM sexton_queue q WHERE q.name = d.name AND q.paused) \
             AND NOT EXISTS (SELECT 1 FROM sexton_database p WHERE p.paused) \
             AND (SELECT t.run_at FROM sexton_task t WHERE t.queue = d.name AND t.state = 'available' AND t.run_at <= {now} \
             ORDER BY t.priority, t.id LIMIT 1) < {before} \
             AND NOT EXISTS (SELECT 1 FROM sexton_task r WHERE r.queue = d.name AND r.state = 'running') \
             AND NOT EXISTS (SELECT 1 FROM sexton_history h WHERE h.queue = d.name AND h.finished_at > {before})",
            self.dialect.rows("d", &QUEUE_COLUMN),
            now = self.dialect.now()
        );
        let age = i64::try_from(age.as_millis()).map_or(i64::MIN, |millis| -millis);
        let mut stalled = Vec::new();
        for row in self.all(&self.db, &sql, [self.queue_rows(&waiting), age.into(), age.into()]).await? {
            let queue: String = row.try_get("", "name")?;
            let sql = format!(
                "SELECT COUNT(*) AS tasks, MIN(run_at) AS since FROM sexton_task \
                 WHERE state = 'available' AND queue = ? AND run_at < {before}"
            );
            let row = self.one(&self.db, &sql, [queue.as_str().into(), age.into()]).await?;
            let tasks = row.try_get("", "tasks")?;
            // All of them may have begun meanwhile.
            if tasks > 0 {
                stalled.push((queue, tasks, instant(&row, "since").ok().flatten()));
            }
        }
        Ok(stalled)
    }
}
