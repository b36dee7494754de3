//! Running tasks: their adoption by another node, and their progress.

use std::collections::HashSet;

use super::{
    Store, StoreError,
    dialect::Kind,
    rows::{Rows, claim_of},
};
use crate::domain::{command::answer::Progress, identity::NodeId, task::claim::Claim};

const CLAIM_COLUMNS: [(&str, Kind); 3] = [("id", Kind::Integer), ("fence", Kind::Integer), ("node", Kind::Text)];
const PROGRESS_COLUMNS: [(&str, Kind); 3] = [("id", Kind::Integer), ("fence", Kind::Integer), ("progress", Kind::Text)];
/// The claim still holds.
const CLAIM_HOLDS: &str = "t.id = d.id AND t.fence = d.fence AND t.state = 'running'";

impl Store {
    /// Moves running tasks under the lease of `node`. Returns the claims that still hold; the tasks of the others have
    /// ended, or belong to another claim.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn adopt(&self, node: &NodeId, claims: &[Claim]) -> Result<HashSet<Claim>, StoreError> {
        if claims.is_empty() {
            return Ok(HashSet::new());
        }
        let table = self.dialect.rows("d", &CLAIM_COLUMNS);
        let update = self.dialect.update_joined("sexton_task", &[("node", "d.node")], &table, CLAIM_HOLDS);
        self.with_retries(async || {
            self.run(&self.db, &update, [self.claims_of(node, claims)]).await?;
            self.held_claims(node, claims).await
        })
        .await
    }

    /// Returns those of the claims that `node` still holds: nobody else was given their tasks.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn held_claims(&self, node: &NodeId, claims: &[Claim]) -> Result<HashSet<Claim>, StoreError> {
        if claims.is_empty() {
            return Ok(HashSet::new());
        }
        let table = self.dialect.rows("d", &CLAIM_COLUMNS);
        let sql = format!("SELECT t.id, t.fence FROM {table} JOIN sexton_task t ON {CLAIM_HOLDS} AND t.node = d.node");
        self.all(&self.db, &sql, [self.claims_of(node, claims)]).await?.iter().map(claim_of).collect()
    }

    /// The claims with their node, as the parameter for [`CLAIM_COLUMNS`].
    fn claims_of(&self, node: &NodeId, claims: &[Claim]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for claim in claims {
            rows.push(|row| {
                row.claim(*claim).set("node", node.as_str());
            });
        }
        rows.into_value()
    }

    /// Stores the progress of running tasks.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_progress(&self, progress_of: &[(Claim, Progress)]) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        for (claim, progress) in progress_of {
            let progress = serde_json::to_value(progress).unwrap_or_default();
            rows.push(|row| {
                row.claim(*claim).json("progress", Some(&progress));
            });
        }
        let rows = rows.into_value();
        let progress = self.dialect.json("d.progress");
        let table = self.dialect.rows("d", &PROGRESS_COLUMNS);
        let sql = self.dialect.update_joined("sexton_task", &[("progress", progress.as_str())], &table, CLAIM_HOLDS);
        self.with_retries(async || self.run(&self.db, &sql, [rows.clone()]).await.map(|_| ())).await
    }
}
