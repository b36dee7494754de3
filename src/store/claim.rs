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

    /// Takes up to `count` tasks of `queue` for `node`: the lowest priority first, then the oldest.
    pub async fn claim(&self, node: &str, queue: &str, count: usize) -> Result<Claimed, StoreError> {
        let count = count as i64;
        self.repeating(async || {
            if self.dialect != Dialect::MySql {
                return self.claim_by_update(&self.db, node, queue, count).await;
            }
            let transaction = self.begin().await?;
            let found = self.claim_by_lock(&transaction, node, queue, count).await?;
            self.commit(transaction).await?;
            Ok(found)
        })
        .await
    }

    /// As [`Store::claim`], but never so that more than `limit` tasks of the queue run in the whole cluster.
    ///
    /// Such claims take turns at the queue's row. Whoever has it sees what all before it have claimed; on Galera, where
    /// rows are not locked on other nodes, the same change of the same row lets one of two commits fail.
    pub async fn claim_within(
        &self,
        limit: usize,
        node: &str,
        queue: &str,
        count: usize,
    ) -> Result<Claimed, StoreError> {
        self.repeating(async || {
            let transaction = self.begin().await?;
            let sql = "UPDATE sexton_queue SET turn = turn + 1 WHERE name = ?";
            if self.run(&transaction, sql, [queue.into()]).await? == 0 {
                let row = self.dialect.insert_new("sexton_queue (name, turn)", "SELECT ?, 1 FROM (SELECT 1 AS x) one");
                if self.run(&transaction, &row, [queue.into()]).await? == 0 {
                    return Err(StoreError::Conflict("another node has just made the row of the queue".to_owned()));
                }
            }
            let sql = "SELECT COUNT(*) AS running FROM sexton_task WHERE queue = ? AND state = 'running'";
            let running: i64 = self.one(&transaction, sql, [queue.into()]).await?.try_get("", "running")?;
            let count = (count as i64).min(limit as i64 - running);
            if count <= 0 {
                return Ok(Claimed::default());
            }
            let found = match self.dialect {
                Dialect::MySql => self.claim_by_lock(&transaction, node, queue, count).await?,
                Dialect::Postgres | Dialect::Sqlite => self.claim_by_update(&transaction, node, queue, count).await?,
            };
            self.commit(transaction).await?;
            Ok(found)
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
    async fn claim_by_update<C: ConnectionTrait>(
        &self,
        connection: &C,
        node: &str,
        queue: &str,
        count: i64,
    ) -> Result<Claimed, StoreError> {
        let (open, close, among) = match self.dialect {
            Dialect::Postgres => ("ANY(ARRAY(", "FOR UPDATE SKIP LOCKED))", "="),
            _ => ("(", ")", "IN"),
        };
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
        let values = [node.into(), queue.into(), queue.into(), node.into(), count.into()];
        let mut found = Claimed::default();
        let mut ordered = Vec::new();
        for row in self.all(connection, &sql, values).await? {
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

    /// MySQL and MariaDB cannot return what they update: lock, mark, and then commit.
    async fn claim_by_lock<C: ConnectionTrait>(
        &self,
        transaction: &C,
        node: &str,
        queue: &str,
        count: i64,
    ) -> Result<Claimed, StoreError> {
        let sql =
            format!("SELECT {COLUMNS}, {} AS at {} FOR UPDATE SKIP LOCKED", self.dialect.now(), self.candidates());
        let rows = self.all(transaction, &sql, [queue.into(), queue.into(), node.into(), count.into()]).await?;
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
