//! Claims in the rows that are one parameter, and in the rows of a query.

use sea_orm::QueryResult;
pub(super) use sexton_client::store::rows::{Row, Rows};

use super::StoreError;
use crate::domain::task::claim::{Claim, ClaimIdentity};

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
