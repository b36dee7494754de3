//! Work that an attempt does in a transaction of Sexton's own database, exactly once. The transaction notes the result in the
//! task, guarded by the claim. An attempt that follows, because the node died before the finish was recorded, finds the
//! result there and does nothing.

use sea_orm::ConnectionTrait;
use sexton_entities::json_text::JsonText;

use super::{
    Store, StoreError,
    dialect::Kind,
    rows::{ClaimColumns as _, Rows},
};
use crate::domain::task::claim::ClaimIdentity;

const CLAIM: [(&str, Kind); 4] =
    [("id", Kind::Integer), ("fence", Kind::Integer), ("enqueued_at", Kind::Instant), ("claimed_at", Kind::Instant)];

impl Store {
    /// The result of an earlier attempt of the task that has done the work.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn applied(&self, task: i64) -> Result<Option<JsonText>, StoreError> {
        let rows = self.all(&self.db, "SELECT applied FROM sexton_task WHERE id = ?", [task.into()]).await?;
        Ok(rows.first().map(|row| row.try_get("", "applied")).transpose()?.flatten())
    }

    /// Notes the result in the task, at the end of a transaction. Returns whether the claim still holds, and the work was not
    /// done before: otherwise the transaction must not be committed.
    pub(super) async fn note_applied(
        &self,
        transaction: &impl ConnectionTrait,
        claim: ClaimIdentity,
        result: &JsonText,
    ) -> Result<bool, StoreError> {
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.claim(claim);
        });
        let value = self.dialect.json(self.dialect.text_parameter());
        let on = format!("{} AND t.applied IS NULL", self.claim_stands());
        let sql = self.dialect.update_joined(
            "sexton_task",
            &[("applied", value.as_str())],
            &self.dialect.rows("d", &CLAIM),
            &on,
        );
        let values = self.dialect.joined_values([result.get().into()], rows.into_value());
        Ok(self.run(transaction, &sql, values).await? == 1)
    }
}
