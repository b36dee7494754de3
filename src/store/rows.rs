//! Claims and queues in the rows that are one parameter, and claims in the rows of a query.

use sea_orm::QueryResult;
pub(super) use sexton_client::store::rows::{Row, Rows};

use super::{Store, StoreError, dialect::Kind};
use crate::domain::{
    identity::QueueName,
    task::claim::{Claim, ClaimIdentity},
};

/// The column of [`Store::queue_rows`].
pub(super) const QUEUE_COLUMN: [(&str, Kind); 1] = [("name", Kind::Text)];

/// Sets the columns of a claim.
pub(super) trait ClaimColumns {
    /// Sets the columns `id`, `fence`, `enqueued_at` and `claimed_at`.
    fn claim(&mut self, identity: ClaimIdentity) -> &mut Self;
}

impl ClaimColumns for Row<'_> {
    fn claim(&mut self, identity: ClaimIdentity) -> &mut Self {
        self.set("id", identity.claim.task_id)
            .set("fence", identity.claim.fence)
            .at("enqueued_at", identity.enqueued_at)
            .at("claimed_at", identity.claimed_at)
    }
}

/// Reads a claim from the columns `id` and `fence`.
pub(super) fn claim_of(row: &QueryResult) -> Result<Claim, StoreError> {
    Ok(Claim::new(row.try_get("", "id")?, row.try_get("", "fence")?))
}

impl Store {
    /// The names of queues as one parameter.
    pub(super) fn queue_rows(&self, queues: &[QueueName]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for queue in queues {
            rows.push(|row| {
                row.set("name", queue.as_str());
            });
        }
        rows.into_value()
    }
}
