//! What checks and metrics ask the database: how much waits, for how long, and what ended lately.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::Value;

use super::{
    Store, StoreError,
    row_decoding::{UnreadableColumn, instant},
};
use crate::domain::identity::QueueName;

/// The work in one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueBacklog {
    /// The queue; empty for tasks that have no queue yet.
    pub queue: QueueName,
    /// Running tasks.
    pub running: i64,
    /// Tasks that are due and do not run.
    pub waiting: i64,
    /// Tasks that are not due yet, including those that wait for their next attempt, or for other tasks.
    pub later: i64,
    /// Since when the oldest of the waiting tasks is due.
    pub oldest: Option<DateTime<Utc>>,
}

/// Selects rows of the history by one column.
#[derive(Clone, Copy, Debug)]
pub enum HistoryOf<'a> {
    /// The whole history.
    All,
    /// The attempts in a queue.
    Queue(&'a str),
    /// The attempts for a schedule.
    Schedule(&'a str),
    /// The attempts of a task definition.
    Task(&'a str),
}

impl HistoryOf<'_> {
    /// The condition, and its parameter.
    fn condition(&self) -> (&'static str, Option<Value>) {
        match *self {
            Self::All => ("", None),
            Self::Queue(name) => ("AND queue = ?", Some(name.into())),
            Self::Schedule(name) => ("AND schedule = ?", Some(name.into())),
            Self::Task(name) => ("AND name = ?", Some(name.into())),
        }
    }
}

impl Store {
    /// The work in each queue that has any, by name; only tasks of this name, if one is given.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn load(&self, task: Option<&str>) -> Result<Vec<QueueBacklog>, StoreError> {
        let is_due = format!("state NOT IN ('running', 'waiting') AND run_at <= {}", self.dialect.now());
        let later = format!("(state = 'waiting' OR state <> 'running' AND run_at > {})", self.dialect.now());
        let of_task = if task.is_some() { "WHERE name = ?" } else { "" };
        let sql = format!(
            "SELECT COALESCE(queue, '') AS queue, COUNT(CASE WHEN state = 'running' THEN 1 END) AS running, \
             COUNT(CASE WHEN {is_due} THEN 1 END) AS waiting, COUNT(CASE WHEN {later} THEN 1 END) AS later, \
             MIN(CASE WHEN {is_due} THEN run_at END) AS oldest FROM sexton_task {of_task} GROUP BY queue ORDER BY 1"
        );
        let rows = self.all(&self.db, &sql, task.map(Value::from)).await?;
        let load = |row: &sea_orm::QueryResult| {
            Ok(QueueBacklog {
                queue: QueueName::from(row.try_get::<String>("", "queue")?),
                running: row.try_get("", "running")?,
                waiting: row.try_get("", "waiting")?,
                later: row.try_get("", "later")?,
                // An application may have written what is no instant.
                oldest: instant(row, "oldest").ok().flatten(),
            })
        };
        rows.iter().map(load).collect()
    }

    /// The number of tasks that were discarded within that time.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn discarded(&self, within: Duration, of: HistoryOf<'_>) -> Result<i64, StoreError> {
        let (condition, value) = of.condition();
        let since = self.dialect.now_plus_millis("?");
        let sql = format!(
            "SELECT COUNT(*) AS tasks FROM sexton_history WHERE finished_at >= {since} AND verdict = 'discarded' {condition}"
        );
        let age = i64::try_from(within.as_millis()).map_or(i64::MIN, |millis| -millis);
        let values: Vec<Value> = std::iter::once(Value::from(age)).chain(value).collect();
        Ok(self.one(&self.db, &sql, values).await?.try_get("", "tasks")?)
    }

    /// When the latest attempt ended that succeeded.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn last_success(&self, of: HistoryOf<'_>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (condition, value) = of.condition();
        let sql = format!("SELECT MAX(finished_at) AS at FROM sexton_history WHERE outcome = 'succeeded' {condition}");
        let row = self.one(&self.db, &sql, value).await?;
        instant(&row, "at")
            .map_err(|UnreadableColumn(why)| StoreError::Unreadable(format!("the latest success: {why}")))
    }
}
