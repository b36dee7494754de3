//! The cancel of running tasks: who has requested it is in the history of the attempts that it has ended.

use std::collections::HashMap;

pub use sexton_client::store::cancel::CancelResult;
pub(super) use sexton_client::store::cancel::LockedTask;
use sexton_entities::states::Verdict;

use super::{
    Store, StoreError, audit::Signature, claim::ID_COLUMN, connection::DatabaseTransaction, dialect::Kind,
    row_decoding::instant, rows::Rows,
};
use crate::domain::task::FinishedAttempt;

/// Who cancelled an attempt that has ended, with the columns that identify it.
const SIGNED: [(&str, Kind); 6] = [
    ("task_id", Kind::Integer),
    ("fence", Kind::Integer),
    ("enqueued_at", Kind::Instant),
    ("cancelled_by", Kind::Text),
    ("cancelled_host", Kind::Text),
    ("cancel_reason", Kind::Text),
];

impl Store {
    /// Writes who cancelled them into the history of attempts that a request has ended.
    pub(super) async fn sign_cancelled(
        &self,
        transaction: &DatabaseTransaction,
        finished: &[&FinishedAttempt],
    ) -> Result<(), StoreError> {
        let cancelled: Vec<_> =
            finished.iter().filter(|finished| finished.verdict == Some(Verdict::Cancelled)).collect();
        if cancelled.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT a.task_id, a.done_at, a.account, a.login, a.host, a.reason \
             FROM {} JOIN sexton_audit a ON a.task_id = d.id AND a.action = 'cancel' ORDER BY a.id",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let ids = self.ids(cancelled.iter().map(|finished| finished.claim.task_id));
        let mut signatures = HashMap::new();
        for row in self.all(transaction, &sql, [ids]).await? {
            let login: Option<String> = row.try_get("", "login")?;
            let by = login.or(row.try_get("", "account")?);
            let signature = Signature { by, host: row.try_get("", "host")?, reason: row.try_get("", "reason")? };
            // The latest counts.
            signatures.insert(row.try_get::<i64>("", "task_id")?, (instant(&row, "done_at").ok().flatten(), signature));
        }
        let mut rows = Rows::new(self.dialect);
        for finished in cancelled {
            let Some((done_at, signature)) = signatures.get(&finished.claim.task_id) else { continue };
            // A restored database may give the number of a task again.
            if done_at.is_none_or(|done_at| done_at < finished.enqueued_at) {
                continue;
            }
            rows.push(|row| {
                row.set("task_id", finished.claim.task_id)
                    .set("fence", finished.claim.fence)
                    .at("enqueued_at", finished.enqueued_at)
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
