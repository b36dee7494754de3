//! Scheduled and retryable tasks: promotion when they are due.

use chrono::{DateTime, Utc};

use super::{Store, StoreError, dialect::Dialect, readable::instant};

/// The maximum number of tasks that one statement promotes.
const BATCH_SIZE: u64 = 1_000;
const WAITING: &str = "state IN ('scheduled', 'retryable')";

impl Store {
    /// Makes all due tasks available. Returns their number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn promote(&self) -> Result<u64, StoreError> {
        let now = self.dialect.now();
        let due = format!("{WAITING} AND run_at <= {now} ORDER BY run_at LIMIT {BATCH_SIZE}");
        let sql = match self.dialect {
            Dialect::MySql => format!("UPDATE sexton_task SET state = 'available' WHERE {due}"),
            Dialect::Postgres => format!(
                "UPDATE sexton_task SET state = 'available' WHERE id = ANY(ARRAY(SELECT id FROM sexton_task WHERE {due} \
                 FOR UPDATE SKIP LOCKED))"
            ),
            Dialect::Sqlite => {
                format!(
                    "UPDATE sexton_task SET state = 'available' WHERE id IN (SELECT id FROM sexton_task WHERE {due})"
                )
            }
        };
        let mut promoted = 0;
        loop {
            let batch = self.with_retries(async || self.run(&self.db, &sql, []).await).await?;
            promoted += batch;
            if batch < BATCH_SIZE {
                return Ok(promoted);
            }
        }
    }

    /// When the next task is due; none if no task waits.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn next_future(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let sql = format!("SELECT MIN(run_at) AS at FROM sexton_task WHERE {WAITING}");
        // What is beyond the calendar is on hold.
        Ok(instant(&self.one(&self.db, &sql, []).await?, "at").ok().flatten())
    }
}
