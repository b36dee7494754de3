//! The cancel by a request in the task's row: who has requested it is in the history of what it has ended.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
pub use sexton_client::store::cancel::CancelResult;
pub(super) use sexton_client::store::cancel::LockedTask;

use super::{
    Store, StoreError, audit::Signature, claim::ID_COLUMN, connection::DatabaseTransaction, dialect::Kind,
    portions::in_portions, row_decoding::instant, rows::Rows,
};
use crate::domain::task::{FinishedAttempt, claim::Claim};

/// Who cancelled an attempt that has ended, with the columns that identify it.
const SIGNED: [(&str, Kind); 6] = [
    ("task_id", Kind::Integer),
    ("fence", Kind::Integer),
    ("enqueued_at", Kind::Instant),
    ("cancelled_by", Kind::Text),
    ("cancelled_host", Kind::Text),
    ("cancel_reason", Kind::Text),
];

/// How many tasks one look finds.
const BATCH_SIZE: u64 = 1_000;
/// How many tasks one transaction ends.
const PORTION: usize = 500;
/// Tasks that wait, and whose cancel was requested.
pub(super) const CANCEL_REQUESTED: &str = "cancel_requested_at IS NOT NULL AND state <> 'running'";

/// An attempt, or a task that never began, that is in the history as cancelled.
pub(super) struct Cancelled {
    task_id: i64,
    fence: i64,
    enqueued_at: DateTime<Utc>,
}

impl From<&FinishedAttempt> for Cancelled {
    fn from(finished: &FinishedAttempt) -> Self {
        let Claim { task_id, fence } = finished.claim;
        Self { task_id, fence, enqueued_at: finished.enqueued_at }
    }
}

impl Cancelled {
    /// None if the instant cannot be read: then nobody knows whether a request is for this very task.
    fn of(row: &QueryResult) -> Option<Self> {
        Some(Self {
            task_id: row.try_get("", "id").ok()?,
            fence: row.try_get("", "fence").ok()?,
            enqueued_at: instant(row, "enqueued_at").ok()??,
        })
    }
}

impl Store {
    /// Ends the tasks that wait and whose cancel was requested. Returns their number. The daemon does not start them, and
    /// an application that only writes the request needs no right to the history.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn end_requested(&self) -> Result<u64, StoreError> {
        let find = format!("SELECT id FROM sexton_task WHERE {CANCEL_REQUESTED} ORDER BY id LIMIT {BATCH_SIZE}");
        let mut ended = 0;
        loop {
            let rows = self.all(&self.db, &find, []).await?;
            let ids = rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<i64>, StoreError>>()?;
            let results = in_portions(ids.chunks(PORTION), async |ids: &[i64]| self.end_these(ids).await).await?;
            for (id, why) in results.refused {
                self.isolated().note(format_args!("task {id} cannot be cancelled"), why);
            }
            let batch: u64 = results.done.into_iter().sum();
            ended += batch;
            if batch < BATCH_SIZE {
                return Ok(ended);
            }
        }
    }

    /// Ends those of the tasks that still wait and are to be cancelled.
    async fn end_these(&self, ids: &[i64]) -> Result<u64, StoreError> {
        let lock = format!(
            "SELECT t.id, t.fence, t.enqueued_at FROM {} JOIN sexton_task t ON t.id = d.id \
             WHERE t.cancel_requested_at IS NOT NULL AND t.state <> 'running' ORDER BY t.id {}",
            self.dialect.rows_beside_locks("d", &ID_COLUMN),
            self.dialect.for_update(),
        );
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let rows = self.all(&transaction, &lock, [self.ids(ids.iter().copied())]).await?;
            let ids = rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<i64>, StoreError>>()?;
            self.end_cancelled(&transaction, &ids, Signature::default()).await?;
            let cancelled: Vec<Cancelled> = rows.iter().filter_map(Cancelled::of).collect();
            self.sign_cancelled(&transaction, &cancelled).await?;
            self.commit(transaction).await?;
            Ok(ids.len() as u64)
        })
        .await
    }

    /// Writes who cancelled them into the history of what a request has ended.
    pub(super) async fn sign_cancelled(
        &self,
        transaction: &DatabaseTransaction,
        cancelled: &[Cancelled],
    ) -> Result<(), StoreError> {
        if cancelled.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT a.task_id, a.done_at, a.account, a.login, a.host, a.reason \
             FROM {} JOIN sexton_audit a ON a.task_id = d.id AND a.action = 'cancel' ORDER BY a.id",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let ids = self.ids(cancelled.iter().map(|ended| ended.task_id));
        let mut signatures = HashMap::new();
        for row in self.all(transaction, &sql, [ids]).await? {
            let login: Option<String> = row.try_get("", "login")?;
            let by = login.or(row.try_get("", "account")?);
            let signature = Signature { by, host: row.try_get("", "host")?, reason: row.try_get("", "reason")? };
            // The latest counts.
            signatures.insert(row.try_get::<i64>("", "task_id")?, (instant(&row, "done_at").ok().flatten(), signature));
        }
        let mut rows = Rows::new(self.dialect);
        for ended in cancelled {
            let Some((done_at, signature)) = signatures.get(&ended.task_id) else { continue };
            // A restored database may give the number of a task again.
            if done_at.is_none_or(|done_at| done_at < ended.enqueued_at) {
                continue;
            }
            rows.push(|row| {
                row.set("task_id", ended.task_id)
                    .set("fence", ended.fence)
                    .at("enqueued_at", ended.enqueued_at)
                    .set("cancelled_by", signature.by.clone())
                    .set("cancelled_host", signature.host.clone())
                    .set("cancel_reason", signature.reason.clone());
            });
        }
        let sets = ["cancelled_by", "cancelled_host", "cancel_reason"].map(|column| (column, format!("d.{column}")));
        let sets = sets.each_ref().map(|(column, value)| (*column, value.as_str()));
        let on = "t.task_id = d.task_id AND t.fence = d.fence AND t.enqueued_at = d.enqueued_at \
                  AND t.verdict = 'cancelled'";
        let sql = self.dialect.update_joined("sexton_history", &sets, &self.dialect.rows("d", &SIGNED), on);
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }
}
