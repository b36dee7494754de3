//! The captured output of recorded attempts.

use super::{Store, StoreError, connection::DatabaseTransaction, dialect::Kind, rows::Rows};
use crate::domain::task::{FinishedAttempt, Report};

const OUTPUT_COLUMNS: [(&str, Kind); 9] = [
    ("task_id", Kind::Integer),
    ("fence", Kind::Integer),
    ("enqueued_at", Kind::Instant),
    ("claimed_at", Kind::Instant),
    ("outcome", Kind::Text),
    ("stdout", Kind::Text),
    ("stderr", Kind::Text),
    ("truncated", Kind::Boolean),
    ("times", Kind::Text),
];

impl Store {
    /// Writes the captured output of recorded attempts.
    pub(super) async fn insert_output(
        &self,
        transaction: &DatabaseTransaction,
        finished: &[&FinishedAttempt],
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        let mut any = false;
        let wrote = |report: &Report| !report.stdout.text.is_empty() || !report.stderr.text.is_empty();
        for finished in finished.iter().filter(|finished| wrote(&finished.report)) {
            any = true;
            let Report { stdout, stderr, .. } = &finished.report;
            let mut times = serde_json::json!({ "stdout": stdout.stamps, "stderr": stderr.stamps });
            if stdout.omission.or(stderr.omission).is_some() {
                times["left_out"] = serde_json::json!({ "stdout": stdout.omission, "stderr": stderr.omission });
            }
            rows.push(|row| {
                row.set("task_id", finished.claim.task_id)
                    .set("fence", finished.claim.fence)
                    .at("enqueued_at", finished.enqueued_at)
                    .at("claimed_at", finished.claimed_at)
                    .set("outcome", finished.outcome.as_str())
                    .set("stdout", stdout.text.clone())
                    .set("stderr", stderr.text.clone())
                    .set("truncated", stdout.truncated || stderr.truncated)
                    .json("times", Some(&times));
            });
        }
        if !any {
            return Ok(());
        }
        let select = format!(
            "SELECT h.id, COALESCE(d.stdout, ''), COALESCE(d.stderr, ''), d.truncated, {} FROM {} \
             JOIN sexton_history h ON h.task_id = d.task_id AND h.fence = d.fence AND h.outcome = d.outcome \
             AND h.enqueued_at = d.enqueued_at AND {}",
            self.dialect.json("d.times"),
            self.dialect.rows("d", &OUTPUT_COLUMNS),
            self.dialect.same("h.claimed_at", "d.claimed_at"),
        );
        let sql = self.dialect.insert_new("sexton_output (history_id, stdout, stderr, truncated, times)", &select);
        self.run(transaction, &sql, [rows.into_value()]).await?;
        Ok(())
    }
}
