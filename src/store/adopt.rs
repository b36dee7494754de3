//! Running tasks: their adoption by another node, and their progress.

use std::collections::HashSet;

use super::{
    Store, StoreError,
    claim_conditions::HELD_COLUMNS,
    dialect::Kind,
    portions::{PortionResults, in_portions},
    rows::{ClaimColumns as _, Rows, claim_of},
};
use crate::domain::{
    command::answer::Progress,
    identity::NodeId,
    task::claim::{Claim, ClaimIdentity},
};

/// The maximum number of tasks in one statement.
const PORTION: usize = 500;

/// What became of an adoption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// The claims that the node has now. The tasks of the others have ended, or belong to another claim.
    pub held: HashSet<Claim>,
    /// The claims that the database refuses to move to the node.
    pub refused: HashSet<Claim>,
}

const ADOPTED_COLUMNS: [(&str, Kind); 5] = [
    ("id", Kind::Integer),
    ("fence", Kind::Integer),
    ("node", Kind::Text),
    ("enqueued_at", Kind::Instant),
    ("claimed_at", Kind::Instant),
];

impl Store {
    /// Moves running tasks under the lease of `node`. A task that the database refuses to move does not keep the others
    /// back, and is reported.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn adopt(&self, node: &NodeId, claims: &[ClaimIdentity]) -> Result<Adoption, StoreError> {
        let table = self.dialect.rows("d", &ADOPTED_COLUMNS);
        let stands = self.claim_stands();
        let update = self.dialect.update_joined("sexton_task", &[("node", "d.node")], &table, &stands);
        let results = self.change_claims(node, claims, &update).await?;
        let mut adoption = Adoption { held: self.held_claims(node, claims).await?, ..Adoption::default() };
        for (ClaimIdentity { claim, .. }, why) in results.refused {
            self.isolated()
                .note(format_args!("task {} cannot be adopted", claim.task_id), format_args!("{why} (claim {claim})"));
            adoption.refused.insert(*claim);
        }
        for ClaimIdentity { claim, .. } in claims.iter().filter(|identity| !adoption.refused.contains(&identity.claim))
        {
            self.isolated().forget(format_args!("task {} cannot be adopted", claim.task_id));
        }
        Ok(adoption)
    }

    /// Runs a statement on the tasks of claims, in portions. Its only parameter is the claims with their node. Returns how
    /// many rows each portion changed.
    pub(super) async fn change_claims<'a>(
        &self,
        node: &NodeId,
        claims: &'a [ClaimIdentity],
        sql: &str,
    ) -> Result<PortionResults<'a, ClaimIdentity, u64>, StoreError> {
        let work = async |portion: &'a [ClaimIdentity]| {
            let rows = self.claims_of(node, portion);
            self.with_retries(async || self.run(&self.db, sql, [rows.clone()]).await).await
        };
        in_portions(claims.chunks(PORTION), work).await
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
        let sql = format!("SELECT t.id, t.fence FROM {table} JOIN sexton_task t ON {}", self.claim_holds());
        self.all(&self.db, &sql, [self.claims_of(node, claims)]).await?.iter().map(claim_of).collect()
    }

    /// The claims with their node, as the parameter for [`ADOPTED_COLUMNS`] and [`HELD_COLUMNS`].
    pub(super) fn claims_of(&self, node: &NodeId, claims: &[ClaimIdentity]) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for claim in claims {
            rows.push(|row| {
                row.claim(*claim).set("node", node.as_str());
            });
        }
        rows.into_value()
    }

    /// Stores the progress of tasks that `node` runs. Progress that the database refuses does not keep the rest back.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn set_progress(
        &self,
        node: &NodeId,
        progress_of: &[(ClaimIdentity, Progress)],
    ) -> Result<(), StoreError> {
        let progress = self.dialect.json("d.progress");
        let [id, fence, of, enqueued_at] = HELD_COLUMNS;
        let table = self.dialect.rows("d", &[id, fence, of, enqueued_at, ("progress", Kind::Text)]);
        let on = self.claim_holds();
        let sql = self.dialect.update_joined("sexton_task", &[("progress", progress.as_str())], &table, &on);
        let work = async |portion: &[(ClaimIdentity, Progress)]| {
            let mut rows = Rows::new(self.dialect);
            for (claim, progress) in portion {
                let progress = serde_json::to_value(progress).unwrap_or_default();
                rows.push(|row| {
                    row.claim(*claim).set("node", node.as_str()).json("progress", Some(&progress));
                });
            }
            let rows = rows.into_value();
            self.with_retries(async || self.run(&self.db, &sql, [rows.clone()]).await.map(|_| ())).await
        };
        let results = in_portions(progress_of.chunks(PORTION), work).await?;
        for ((ClaimIdentity { claim, .. }, _), why) in results.refused {
            self.isolated().note(format_args!("the progress of task {} is not recorded", claim.task_id), why);
        }
        Ok(())
    }
}
