//! The claim: taking tasks for this node. With the wake-up, the part that differs most between the databases.
//!
//! A claim asks for the node's own lease in the same statement, so a node that has lost it takes nothing. It
//! sees paused queues at once. A task that was inserted with a later `run_at` but without a state is sorted
//! into `scheduled` here, where it would otherwise be in the way for ever.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, QueryResult};

use super::{
    Store, StoreError,
    dialect::{Dialect, Kind},
    rows::Rows,
};
use crate::domain::task::ClaimedTask;

/// What a claim brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claimed {
    /// The tasks that are this node's now, in the order of their queue.
    pub tasks: Vec<ClaimedTask>,
    /// Tasks that were sorted into `scheduled`.
    pub sorted: usize,
}

/// What a look has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// Queues with available tasks that are not paused.
    pub queues: Vec<String>,
    /// Whether tasks wait to be filed into a queue.
    pub unfiled: bool,
    /// Whether tasks wait to be promoted.
    pub due: bool,
}

const COLUMNS: &str = "id, name, priority, payload, attempt, max_attempts, fence, schedule, due_at, enqueued_at, \
                       run_at, started_at, state";

impl Store {
    /// Whether there is anything to do in these queues. A cheap look, for when there is probably nothing.
    pub async fn peek(&self, queues: &[String]) -> Result<Peek, StoreError> {
        let mut rows = Rows::new(self.dialect);
        for queue in queues {
            rows.push(|row| {
                row.set("name", queue.clone());
            });
        }
        // The order makes the planner follow the index. By its estimates it would rather read the table from the
        // beginning, where in a busy queue only dead rows are.
        let some = |condition: &str, order: &str| {
            format!("(SELECT t.id FROM sexton_task t WHERE {condition} ORDER BY {order} LIMIT 1) IS NOT NULL")
        };
        let sql = format!(
            "SELECT 'queue' AS what, d.name FROM {} WHERE {} \
             AND NOT EXISTS (SELECT 1 FROM sexton_queue q WHERE q.name = d.name AND q.paused) \
             UNION ALL SELECT 'unfiled', NULL FROM (SELECT 1 AS x) one WHERE {} \
             UNION ALL SELECT 'due', NULL FROM (SELECT 1 AS x) one WHERE {}",
            self.dialect.rows("d", &[("name", Kind::Text)]),
            some("t.queue = d.name AND t.state = 'available'", "t.priority, t.id"),
            some("t.queue IS NULL AND t.state = 'available'", "t.priority, t.id"),
            some(&format!("t.state IN ('scheduled', 'retryable') AND t.run_at <= {}", self.dialect.now()), "t.run_at"),
        );
        let mut seen = Peek::default();
        for row in self.all(&self.db, &sql, [rows.into_value()]).await? {
            match row.try_get::<String>("", "what")?.as_str() {
                "queue" => seen.queues.push(row.try_get("", "name")?),
                "unfiled" => seen.unfiled = true,
                _ => seen.due = true,
            }
        }
        Ok(seen)
    }

    /// Takes up to `limit` tasks of `queue` for `node`: the lowest priority first, then the oldest.
    pub async fn claim(&self, node: &str, queue: &str, limit: usize) -> Result<Claimed, StoreError> {
        let limit = limit as i64;
        self.repeating(async || match self.dialect {
            Dialect::Postgres => {
                self.claim_by_update(node, queue, limit, "ANY(ARRAY(", "FOR UPDATE SKIP LOCKED))", "=").await
            }
            Dialect::Sqlite => self.claim_by_update(node, queue, limit, "(", ")", "IN").await,
            Dialect::MySql => self.claim_by_lock(node, queue, limit).await,
        })
        .await
    }

    /// What can be claimed, as the end of a select.
    fn candidates(&self) -> String {
        format!(
            "FROM sexton_task WHERE queue = ? AND state = 'available' \
             AND NOT EXISTS (SELECT 1 FROM sexton_queue q WHERE q.name = ? AND q.paused) \
             AND EXISTS (SELECT 1 FROM sexton_node n WHERE n.id = ? AND n.lease_expires_at > {}) \
             ORDER BY priority, id LIMIT ?",
            self.dialect.now()
        )
    }

    /// One statement that finds, marks and returns.
    async fn claim_by_update(
        &self,
        node: &str,
        queue: &str,
        limit: i64,
        open: &str,
        close: &str,
        among: &str,
    ) -> Result<Claimed, StoreError> {
        let now = self.dialect.now();
        let due = |due: &str, not_due: &str| format!("CASE WHEN run_at <= {now} THEN {due} ELSE {not_due} END");
        let sql = format!(
            "UPDATE sexton_task SET state = {}, fence = {}, attempt = {}, node = {}, started_at = {} \
             WHERE id {among} {open}SELECT id {} {close} RETURNING {COLUMNS}",
            due("'running'", "'scheduled'"),
            due("fence + 1", "fence"),
            due("attempt + 1", "attempt"),
            due("?", "NULL"),
            due(now, "NULL"),
            self.candidates(),
        );
        let values = [node.into(), queue.into(), queue.into(), node.into(), limit.into()];
        let mut found = Claimed::default();
        let mut ordered = Vec::new();
        for row in self.all(&self.db, &sql, values).await? {
            if row.try_get::<String>("", "state")? == "running" {
                ordered.push((row.try_get::<i32>("", "priority")?, claimed(&row, queue)?));
            } else {
                found.sorted += 1;
            }
        }
        ordered.sort_by_key(|(priority, task)| (*priority, task.id));
        found.tasks = ordered.into_iter().map(|(_, task)| task).collect();
        Ok(found)
    }

    /// MySQL and MariaDB cannot return what they update: lock, mark, commit.
    async fn claim_by_lock(&self, node: &str, queue: &str, limit: i64) -> Result<Claimed, StoreError> {
        let transaction = self.begin().await?;
        let sql =
            format!("SELECT {COLUMNS}, {} AS at {} FOR UPDATE SKIP LOCKED", self.dialect.now(), self.candidates());
        let rows = self.all(&transaction, &sql, [queue.into(), queue.into(), node.into(), limit.into()]).await?;
        let mut found = Claimed::default();
        let mut later = Vec::new();
        for row in &rows {
            let at: DateTime<Utc> = row.try_get("", "at")?;
            if row.try_get::<DateTime<Utc>>("", "run_at")? > at {
                later.push(row.try_get::<i64>("", "id")?);
                continue;
            }
            let task = claimed(row, queue)?;
            found.tasks.push(ClaimedTask { fence: task.fence + 1, attempt: task.attempt + 1, started_at: at, ..task });
        }
        if !later.is_empty() {
            let sql = format!("UPDATE sexton_task SET state = 'scheduled' WHERE id IN ({})", list(&later));
            transaction.execute_unprepared(&sql).await?;
            found.sorted = later.len();
        }
        if let Some(first) = found.tasks.first() {
            let ids: Vec<i64> = found.tasks.iter().map(|task| task.id).collect();
            let marked = transaction
                .execute_unprepared(&format!(
                    "UPDATE sexton_task SET state = 'running', fence = fence + 1, attempt = attempt + 1, node = '{}', \
                     started_at = '{}' WHERE id IN ({}) AND state = 'available'",
                    node.replace(['\'', '\\'], ""),
                    self.dialect.instant(first.started_at),
                    list(&ids)
                ))
                .await?;
            if marked.rows_affected() != ids.len() as u64 {
                return Err(StoreError::Conflict("another node was faster".to_owned()));
            }
        }
        self.commit(transaction).await?;
        Ok(found)
    }
}

/// Numbers as text for `IN (…)`.
pub(super) fn list(ids: &[i64]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn claimed(row: &QueryResult, queue: &str) -> Result<ClaimedTask, StoreError> {
    let (payload, unreadable) = match row.try_get("", "payload") {
        Ok(payload) => (payload, None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(ClaimedTask {
        id: row.try_get("", "id")?,
        name: row.try_get("", "name")?,
        queue: queue.to_owned(),
        payload,
        attempt: row.try_get("", "attempt")?,
        max_attempts: row.try_get("", "max_attempts")?,
        fence: row.try_get("", "fence")?,
        schedule: row.try_get("", "schedule")?,
        due_at: row.try_get("", "due_at")?,
        enqueued_at: row.try_get("", "enqueued_at")?,
        started_at: row.try_get::<Option<DateTime<Utc>>>("", "started_at")?.unwrap_or_default(),
        unreadable,
    })
}
