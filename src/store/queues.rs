//! Queues: whether each is paused, and how many tasks are in it.

use std::collections::BTreeMap;

use sea_orm::{EntityTrait, QueryTrait as _};
use serde::Serialize;
use sexton_entities::queue;

use super::{PauseDetails, Store, StoreError};
use crate::domain::identity::QueueName;

/// One queue with the number of its tasks by state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueRow {
    /// The name of the queue; empty for tasks that have no queue yet.
    pub name: QueueName,
    /// Whether no node claims from it.
    pub paused: bool,
    /// Since when it is paused, by whom and why.
    #[serde(flatten)]
    pub pause: PauseDetails,
    /// Tasks that wait for a worker.
    pub available: i64,
    /// Tasks that run.
    pub running: i64,
    /// Tasks that are not due yet.
    pub scheduled: i64,
    /// Tasks that wait for their next attempt.
    pub retryable: i64,
    /// Tasks that wait for the end of other tasks.
    pub waiting: i64,
}

impl QueueRow {
    /// A queue without tasks, which is not paused.
    pub fn empty(name: QueueName) -> Self {
        Self {
            name,
            paused: false,
            pause: PauseDetails::default(),
            available: 0,
            running: 0,
            scheduled: 0,
            retryable: 0,
            waiting: 0,
        }
    }
}

impl Store {
    /// Lists the queues that have tasks or were paused once, and those of `known`, by name.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn queues(&self, known: &[QueueName]) -> Result<Vec<QueueRow>, StoreError> {
        let mut queues: BTreeMap<QueueName, QueueRow> =
            known.iter().map(|name| (name.clone(), QueueRow::empty(name.clone()))).collect();
        let rows = queue::Entity::find().build(self.backend());
        for row in self.readable::<queue::Model, _>(&self.db, rows, "sexton_queue", "name").await? {
            let name = QueueName::from(row.name.clone());
            let queue = queues.entry(name.clone()).or_insert_with(|| QueueRow::empty(name));
            queue.paused = row.paused;
            queue.pause = row.into();
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
                "waiting" => queue.waiting = tasks,
                _ => queue.retryable = tasks,
            }
        }
        Ok(queues.into_values().collect())
    }
}
