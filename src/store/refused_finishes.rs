//! Attempts whose record the database refuses in any form: their tasks go on or end all the same.

use super::{
    Store, StoreError,
    claim_conditions::HELD_COLUMNS,
    finish::{CLEARED, ends},
};
use crate::domain::{
    identity::NodeId,
    task::{FinishedAttempt, NEVER, claim::ClaimIdentity},
};

impl Store {
    /// Applies the verdict of an attempt whose record the database refuses: the task goes on or ends all the same.
    /// Returns whether its claim held.
    ///
    /// # Errors
    /// If the database is unavailable or refuses this as well.
    pub async fn finish_unrecorded(&self, finished: &FinishedAttempt) -> Result<bool, StoreError> {
        let batch = std::slice::from_ref(&finished);
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let held = self.apply_verdicts(&transaction, batch).await?;
            let ended = held.values().filter(|task| task.is_followed && ends(finished.verdict));
            let ended: Vec<i64> = ended.map(|task| task.claim.task_id).collect();
            self.settle_followers(&transaction, &ended).await?;
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
    pub async fn hold_unfinished(&self, node: &NodeId, identity: ClaimIdentity) -> Result<bool, StoreError> {
        let held = [("state", "'scheduled'"), ("run_at", self.dialect.instant_parameter())];
        let sets: Vec<(&str, &str)> = held.into_iter().chain(CLEARED).collect();
        let rows = self.dialect.rows("d", &HELD_COLUMNS);
        let sql = self.dialect.update_joined("sexton_task", &sets, &rows, &self.claim_holds());
        let never = self.dialect.instant(NEVER).into();
        let values = self.dialect.joined_values([never], self.claims_of(node, &[identity]));
        Ok(self.with_retries(async || self.run(&self.db, &sql, values.clone()).await).await? > 0)
    }
}
