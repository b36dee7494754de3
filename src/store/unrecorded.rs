//! Attempts whose record the database refuses in any form: their tasks go on or end all the same.

use super::{Store, StoreError, finish::CLEARED};
use crate::domain::task::{FinishedAttempt, NEVER, claim::Claim};

impl Store {
    /// Applies the verdict of an attempt whose record the database refuses: the task goes on or ends all the same.
    /// Returns whether its claim held.
    ///
    /// # Errors
    /// If the database is unavailable or refuses this as well.
    pub async fn finish_unrecorded(&self, finished: &FinishedAttempt) -> Result<bool, StoreError> {
        let batch = std::slice::from_ref(finished);
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let held = self.apply_verdicts(&transaction, batch).await?;
            self.commit(transaction).await?;
            Ok(!held.is_empty())
        })
        .await
    }

    /// Puts a running task on hold that the database refuses to finish: it does not run again by itself. Returns whether its
    /// claim held.
    ///
    /// # Errors
    /// If the database is unavailable or refuses this as well.
    pub async fn hold_unfinished(&self, claim: Claim) -> Result<bool, StoreError> {
        let cleared: Vec<String> = CLEARED.iter().map(|(column, value)| format!("{column} = {value}")).collect();
        let sql = format!(
            "UPDATE sexton_task SET state = 'scheduled', run_at = {}, {} WHERE id = ? AND fence = ? AND state = 'running'",
            self.dialect.instant_parameter(),
            cleared.join(", ")
        );
        let values = [self.dialect.instant(NEVER).into(), claim.task_id.into(), claim.fence.into()];
        Ok(self.with_retries(async || self.run(&self.db, &sql, values.clone()).await).await? > 0)
    }
}
