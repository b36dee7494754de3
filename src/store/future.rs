//! Scheduled and retryable tasks: promotion when they are due.

use chrono::{DateTime, Utc};

use super::{
    Operation, Store, StoreError, claim::ID_COLUMN, dialect::Dialect, portions::in_portions, row_decoding::instant,
};

/// The maximum number of tasks that one statement promotes.
const BATCH_SIZE: u64 = 1_000;
/// The next instants at which tasks change by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextInstants {
    /// When the next task is due; none if no task waits.
    pub due: Option<DateTime<Utc>>,
    /// When the next task expires; none if none does.
    pub expiry: Option<DateTime<Utc>>,
    /// Whether an application has requested the cancel of a task that waits.
    pub is_cancel_requested: bool,
    /// Whether a task waits for others.
    pub has_followers: bool,
}

const WAITING: &str = "state IN ('scheduled', 'retryable')";
/// The query for [`NextInstants`].
pub(super) const NEXT_INSTANTS: &str = concat!(
    "SELECT (SELECT MIN(run_at) FROM sexton_task WHERE state IN ('scheduled', 'retryable')) AS run_at, ",
    "(SELECT expires_at FROM sexton_task WHERE expires_at IS NOT NULL ",
    "AND attempt = 0 AND snoozes = 0 AND state IN ('available', 'scheduled', 'waiting') ",
    "ORDER BY expires_at LIMIT 1) AS expires_at, ",
    "(SELECT MIN(id) FROM sexton_task WHERE cancel_requested_at IS NOT NULL AND state <> 'running') AS cancelled, ",
    "(SELECT 1 FROM sexton_task WHERE state = 'waiting' ORDER BY run_at LIMIT 1) AS waiting"
);

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
            let promoting = self.with_retries(async || self.run(&self.db, &sql, []).await);
            let batch = match self.timed(Operation::Promote, promoting).await {
                Err(StoreError::Refused(_)) => return Ok(promoted + self.promote_one_by_one(&due).await?),
                result => result?,
            };
            promoted += batch;
            if batch < BATCH_SIZE {
                return Ok(promoted);
            }
        }
    }

    /// Promotes those of the first due tasks that the database does not refuse to promote.
    async fn promote_one_by_one(&self, due: &str) -> Result<u64, StoreError> {
        let rows = self.all(&self.db, &format!("SELECT id FROM sexton_task WHERE {due}"), []).await?;
        let ids = rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<i64>, StoreError>>()?;
        let table = self.dialect.rows("d", &ID_COLUMN);
        let on = "t.id = d.id AND t.state IN ('scheduled', 'retryable')";
        let sql = self.dialect.update_joined("sexton_task", &[("state", "'available'")], &table, on);
        let work = async |portion: &[i64]| {
            self.with_retries(async || self.run(&self.db, &sql, [self.ids(portion.iter().copied())]).await).await
        };
        let results = in_portions([ids.as_slice()], work).await?;
        for (id, why) in results.refused {
            self.isolated().note(format_args!("task {id} cannot be made available"), why);
        }
        Ok(results.done.into_iter().sum())
    }

    /// When the next task is due, when the next one expires, and whether one is to be cancelled.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn next_instants(&self) -> Result<NextInstants, StoreError> {
        let row = self.one(&self.db, NEXT_INSTANTS, []).await?;
        // What is beyond the calendar is on hold.
        let at = |column| instant(&row, column).ok().flatten();
        let is_cancel_requested = row.try_get::<Option<i64>>("", "cancelled")?.is_some();
        let has_followers = row.try_get::<Option<i32>>("", "waiting")?.is_some();
        Ok(NextInstants { due: at("run_at"), expiry: at("expires_at"), is_cancel_requested, has_followers })
    }
}
