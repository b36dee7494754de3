//! Following a task: its state, its end and result, its cancel.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sexton_entities::{
    history,
    json_text::JsonText,
    states::{Outcome, TaskState, Verdict},
};

use super::Client;
use crate::store::{StoreError, cancel::CancelResult, wait::WaitError, wakeup::Wakeup};

/// What is known of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskStatus {
    /// It waits, or runs.
    Unfinished {
        /// Its state.
        state: TaskState,
        /// The number of attempts so far; of a running task, the number of the running one.
        attempt: i32,
        /// The earliest start of the next attempt.
        run_at: DateTime<Utc>,
        /// What the running attempt has reported: `percent`, `text`.
        progress: Option<serde_json::Value>,
    },
    /// It has ended.
    Finished(TaskEnd),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskEnd {
    /// What became of it: `completed`, `discarded` or `cancelled`.
    pub verdict: Verdict,
    /// How its last attempt ended.
    pub outcome: Outcome,
    /// The number of its last attempt, from 1; 0 if none began.
    pub attempt: i32,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Why it was not completed, for people.
    pub error: Option<String>,
    /// The result that its last attempt reported.
    pub result: Option<JsonText>,
}

impl TaskEnd {
    /// Whether the work is done.
    pub fn is_completed(&self) -> bool {
        self.verdict == Verdict::Completed
    }

    /// The result as a value of that type; none if the task reported no result.
    ///
    /// # Errors
    /// If the result does not fit.
    pub fn decode_result<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        self.result.as_ref().map(JsonText::decode).transpose()
    }

    fn of(row: history::Model) -> Option<Self> {
        let history::Model { verdict, outcome, attempt, finished_at, error, result, .. } = row;
        Some(Self { verdict: verdict?, outcome, attempt, finished_at, error, result })
    }
}

impl Client {
    /// What is known of a task; none if there is no such task, neither waiting nor in the history.
    ///
    /// # Errors
    /// If the database is unavailable, or has a value that cannot be read.
    pub async fn status(&self, id: i64) -> Result<Option<TaskStatus>, StoreError> {
        if let Some(task) = self.store.task(id).await.map_err(StoreError::with_advice)? {
            let (state, attempt, run_at, progress) = (task.state, task.attempt, task.run_at, task.progress);
            return Ok(Some(TaskStatus::Unfinished { state, attempt, run_at, progress }));
        }
        Ok(self.store.last_row(id).await?.and_then(TaskEnd::of).map(TaskStatus::Finished))
    }

    /// Waits until a task has ended. An outage of the database does not end the wait before its time.
    ///
    /// # Errors
    /// If there is no such task, if it has not ended within `limit`, or if the database refuses.
    pub async fn wait(&self, id: i64, limit: Duration) -> Result<TaskEnd, WaitError> {
        let row = self.store.wait(id, Some(limit)).await?;
        TaskEnd::of(row).ok_or(WaitError::NotThere(id))
    }

    /// The result that a finished task reported; none if it reported none, or has not ended.
    ///
    /// # Errors
    /// If the database is unavailable, or has a value that cannot be read.
    pub async fn result(&self, id: i64) -> Result<Option<JsonText>, StoreError> {
        Ok(match self.status(id).await? {
            Some(TaskStatus::Finished(end)) => end.result,
            Some(TaskStatus::Unfinished { .. }) | None => None,
        })
    }

    /// Cancels a task: a waiting one at once, a running one through its node.
    ///
    /// # Errors
    /// If the database is unavailable: then nothing is cancelled.
    pub async fn cancel(&self, id: i64) -> Result<CancelResult, StoreError> {
        let result = self.store.cancel(id).await.map_err(StoreError::with_advice)?;
        if result == CancelResult::Requested {
            self.wake_up(Wakeup::Cancel);
        }
        Ok(result)
    }
}
