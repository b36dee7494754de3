//! Claims from several queues in one statement. A claim from each of them alone would cost a round trip, and a flush of the log.

use std::collections::HashMap;

use sea_orm::Value;

use super::{
    Operation, Store, StoreError,
    claim::CandidateQueue,
    claim_result::{ClaimResult, ClaimedRows},
    dialect::Kind,
    rows::Rows,
};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::names::TaskNames,
};

/// The columns of a queue, and of how many of its tasks are wanted.
const WANTED_COLUMNS: [(&str, Kind); 2] = [("name", Kind::Text), ("tasks", Kind::Integer)];

impl Store {
    /// As [`Store::claim_known`], from several queues: from each up to the number of tasks beside its name. A queue that is
    /// not in the result had nothing that this node could claim.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement. It may refuse that because of a single task; then a claim from the
    /// queue of that task alone sets the task aside.
    pub async fn claim_queues(
        &self,
        known: &TaskNames,
        node: &NodeId,
        wanted: &[(QueueName, usize)],
    ) -> Result<HashMap<QueueName, ClaimResult>, StoreError> {
        let mut found = HashMap::new();
        if !self.claims_together() {
            for (queue, tasks) in wanted {
                let claimed = self.claim_known(known, node, queue, *tasks).await?;
                if !claimed.tasks.is_empty() || claimed.postponed > 0 {
                    found.insert(queue.clone(), claimed);
                }
            }
            return Ok(found);
        }
        let (filter, filter_value) = self.known_filter("name", Some(known));
        let queue = CandidateQueue { condition: "queue = w.name", name: "w.name", count: "w.tasks" };
        let candidates = format!(
            "= ANY(ARRAY(SELECT c.id FROM {}, LATERAL (SELECT id {} FOR UPDATE SKIP LOCKED) c))",
            self.dialect.rows("w", &WANTED_COLUMNS),
            self.candidates_of(queue, &filter),
        );
        let sql = self.claiming_update(&candidates, ", queue");
        let mut rows = Rows::new(self.dialect);
        for (queue, tasks) in wanted {
            rows.push(|row| {
                row.set("name", queue.as_str()).set("tasks", *tasks as u64);
            });
        }
        let mut values: Vec<Value> = vec![node.as_str().into(), rows.into_value(), node.as_str().into()];
        values.extend(filter_value);
        values.push(self.payload_limit());
        let claiming = self.with_retries(async || self.all(&self.db, &sql, values.clone()).await);
        let mut claimed: HashMap<QueueName, ClaimedRows> = HashMap::new();
        for row in self.timed(Operation::Claim, claiming).await? {
            let queue: QueueName = row.try_get::<String>("", "queue")?.into();
            claimed.entry(queue.clone()).or_default().read(self, &row, &queue)?;
        }
        for (queue, rows) in claimed {
            let result = rows.into_result(self, node, &queue).await;
            found.insert(queue, result);
        }
        Ok(found)
    }
}
