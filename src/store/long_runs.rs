//! Runs that take longer than their `warn_after`: when that problem is over.

use std::time::Duration;

use super::{Store, StoreError};

impl Store {
    /// Closes the problem that runs of a task take long, unless one of them still runs: if a later run took less than
    /// `limit`, or there is no limit any more. Returns whether it is over.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn end_long_runs(&self, problem: i64, limit: Option<Duration>) -> Result<bool, StoreError> {
        let is_over = match limit {
            Some(_) => {
                "AND EXISTS (SELECT 1 FROM sexton_history h WHERE h.name = sexton_problem.task \
                 AND h.finished_at > sexton_problem.seen_at AND h.outcome = 'succeeded' AND h.duration_ms < ?)"
            }
            None => "",
        };
        let sql = format!(
            "UPDATE sexton_problem SET state = 'closed', closed_at = {} WHERE id = ? AND state <> 'closed' \
             AND NOT EXISTS (SELECT 1 FROM sexton_task t WHERE t.id = sexton_problem.task_id AND t.state = 'running' \
             AND t.fence = sexton_problem.fence) {is_over}",
            self.dialect.now()
        );
        let limit = limit.map(|limit| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
        self.with_retries(async || {
            let values = std::iter::once(problem.into()).chain(limit.map(Into::into));
            Ok(self.run(&self.db, &sql, values).await? > 0)
        })
        .await
    }
}
