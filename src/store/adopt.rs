//! Running tasks: their adoption by another node, and their progress.

use std::collections::HashSet;

use super::{
    Store, StoreError,
    claim_conditions::HELD_COLUMNS,
    dialect::Kind,
    rows::{Rows, claim_of},
};
use crate::domain::{
    command::answer::Progress,
    identity::NodeId,
    task::claim::{Claim, ClaimIdentity},
};

const ADOPTED_COLUMNS: [(&str, Kind); 5] = [
    ("id", Kind::Integer),
    ("fence", Kind::Integer),
    ("node", Kind::Text),
    ("enqueued_at", Kind::Instant),
    ("claimed_at", Kind::Instant),
];

impl Store {
    /// Moves running tasks under the lease of `node`. Returns the claims that still hold; the tasks of the others have
    /// ended, or belong to another claim.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn adopt(&self, node: &NodeId, claims: &[ClaimIdentity]) -> Result<HashSet<Claim>, StoreError> {
        if claims.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = self.claims_of(node, claims);
        let table = self.dialect.rows("d", &ADOPTED_COLUMNS);
        let stands = self.dialect.claim_stands();
        let update = self.dialect.update_joined("sexton_task", &[("node", "d.node")], &table, &stands);
        self.with_retries(async || {
            self.run(&self.db, &update, [rows.clone()]).await?;
            self.held_claims(node, claims).await
        })
        .await
    }

    /// Returns those of the claims that `node` still holds: nobody else was given their tasks.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn held_claims(&self, node: &NodeId, claims: &[ClaimIdentity]) -> Result<HashSet<Claim>, StoreError> {
        if claims.is_empty() {
            return Ok(HashSet::new());
        }
        let table = self.dialect.rows("d", &HELD_COLUMNS);
        let sql = format!("SELECT t.id, t.fence FROM {table} JOIN sexton_task t ON {}", self.dialect.claim_holds());
        self.all(&self.db, &sql, [self.claims_of(node, claims)]).await?.iter().map(claim_of).collect()
    }

    /// The claims with their node, as the parameter for [`ADOPTED_COLUMNS`] and [`HELD_COLUMNS`].
    fn claims_of(&self, node: &NodeId, claims: &[ClaimIdentity]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for claim in claims {
            rows.push(|row| {
                row.claim(*claim).set("node", node.as_str());
            });
        }
        rows.into_value()
    }

    /// Stores the progress of tasks that `node` runs.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_progress(
        &self,
        node: &NodeId,
        progress_of: &[(ClaimIdentity, Progress)],
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        for (claim, progress) in progress_of {
            let progress = serde_json::to_value(progress).unwrap_or_default();
            rows.push(|row| {
                row.claim(*claim).set("node", node.as_str()).json("progress", Some(&progress));
            });
        }
        let rows = rows.into_value();
        let progress = self.dialect.json("d.progress");
        let [id, fence, node, enqueued_at] = HELD_COLUMNS;
        let table = self.dialect.rows("d", &[id, fence, node, enqueued_at, ("progress", Kind::Text)]);
        let on = self.dialect.claim_holds();
        let sql = self.dialect.update_joined("sexton_task", &[("progress", progress.as_str())], &table, &on);
        self.with_retries(async || self.run(&self.db, &sql, [rows.clone()]).await.map(|_| ())).await
    }
}
