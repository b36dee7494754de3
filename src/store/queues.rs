//! Queues: pause, resume, and how many tasks are in each.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Store, StoreError};
use crate::domain::identity::QueueName;

/// One queue with the number of its tasks by state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueRow {
    /// The name of the queue; empty for tasks that have no queue yet.
    pub name: QueueName,
    /// Whether no node claims from it.
    pub paused: bool,
    /// Tasks that wait for a worker.
    pub available: i64,
    /// Tasks that run.
    pub running: i64,
    /// Tasks that are not due yet.
    pub scheduled: i64,
    /// Tasks that wait for their next attempt.
    pub retryable: i64,
}

impl QueueRow {
    /// A queue without tasks, which is not paused.
    pub fn empty(name: QueueName) -> Self {
        Self { name, paused: false, available: 0, running: 0, scheduled: 0, retryable: 0 }
    }
}

impl Store {
    /// Pauses or resumes a queue in the whole cluster. It takes effect at the next claim.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn pause_queue(&self, name: &QueueName, paused: bool) -> Result<(), StoreError> {
        let now = self.dialect.now();
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let sql = format!("UPDATE sexton_queue SET paused = ?, changed_at = {now} WHERE name = ?");
            if self.run(&transaction, &sql, [paused.into(), name.as_str().into()]).await? == 0 {
                let sql = "INSERT INTO sexton_queue (name, paused) VALUES (?, ?)";
                self.run(&transaction, sql, [name.as_str().into(), paused.into()]).await?;
            }
            self.commit(transaction).await
        })
        .await
    }

    /// Lists the queues that have tasks or were paused once, and those of `known`, by name.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn queues(&self, known: &[QueueName]) -> Result<Vec<QueueRow>, StoreError> {
        let mut queues: BTreeMap<QueueName, QueueRow> =
            known.iter().map(|name| (name.clone(), QueueRow::empty(name.clone()))).collect();
        for row in self.all(&self.db, "SELECT name, paused FROM sexton_queue", []).await? {
            let name = QueueName::from(row.try_get::<String>("", "name")?);
            let queue = queues.entry(name.clone()).or_insert_with(|| QueueRow::empty(name));
            queue.paused = row.try_get("", "paused")?;
        }
        let sql =
            "SELECT COALESCE(queue, '') AS queue, state, COUNT(*) AS tasks FROM sexton_task GROUP BY queue, state";
        for row in self.all(&self.db, sql, []).await? {
            let name = QueueName::from(row.try_get::<String>("", "queue")?);
            let queue = queues.entry(name.clone()).or_insert_with(|| QueueRow::empty(name));
            let tasks: i64 = row.try_get("", "tasks")?;
            match row.try_get::<String>("", "state")?.as_str() {
                "available" => queue.available = tasks,
                "running" => queue.running = tasks,
                "scheduled" => queue.scheduled = tasks,
                _ => queue.retryable = tasks,
            }
        }
        Ok(queues.into_values().collect())
    }
}
