//! Waiting for the end of a task.

use std::time::{Duration, Instant};

use sexton_entities::history;

use super::{StoreError, TaskStore};

/// How often the end of a task is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Why a wait ended without the end of the task.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WaitError {
    /// There is no such task, neither waiting nor in the history.
    #[error("there is no task {0}, and the history does not know it")]
    NotThere(i64),
    /// The time is over. The task goes on.
    #[error("task {id} did not end within {} s", .after.as_secs_f64())]
    TimedOut {
        /// The task.
        id: i64,
        /// The time limit of the wait.
        after: Duration,
    },
    /// The database refused, or has been unavailable up to the end of the time.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TaskStore {
    /// Waits until a task has ended, and returns the row of the history that ended it. An outage of the database does not
    /// end the wait before its time. Without a limit it waits for as long as it takes.
    ///
    /// # Errors
    /// If there is no such task, if it has not ended within `limit`, or if the database refuses.
    pub async fn wait(&self, id: i64, limit: Option<Duration>) -> Result<history::Model, WaitError> {
        let begun = Instant::now();
        let mut is_away = false;
        loop {
            let left = limit.map(|limit| limit.saturating_sub(begun.elapsed()));
            let is_over = limit.filter(|_| left == Some(Duration::ZERO));
            match (self.end_of(id).await, is_over) {
                (Ok(Some(end)), _) => return Ok(end),
                (Ok(None), Some(after)) => return Err(WaitError::TimedOut { id, after }),
                (Err(WaitError::Store(error)), None) if error.is_outage() => {
                    if !is_away {
                        tracing::warn!("the wait for task {id} goes on without an answer: {error}");
                    }
                    is_away = true;
                }
                (Err(error), _) => return Err(error),
                (Ok(None), None) => is_away = false,
            }
            tokio::time::sleep(left.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL)).await;
        }
    }

    /// The row that ended a task; none while it is unfinished.
    async fn end_of(&self, id: i64) -> Result<Option<history::Model>, WaitError> {
        if self.task(id).await.map_err(StoreError::with_advice)?.is_some() {
            return Ok(None);
        }
        Ok(Some(self.last_row(id).await?.ok_or(WaitError::NotThere(id))?))
    }
}
