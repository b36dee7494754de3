//! The result of a claim, and how the rows of an UPDATE become one.

use std::time::Duration;

use sea_orm::QueryResult;

use super::{Store, StoreError, claimed_task::check_fence, row_decoding::column, unreadable_tasks::UnreadableTask};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::{ClaimedTask, claim_position::ClaimPosition, rate::StricterRate},
};

/// The result of a claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimResult {
    /// The claimed tasks, in the order of their queue.
    pub tasks: Vec<ClaimedTask>,
    /// The number of tasks that were found too early and moved to `scheduled`.
    pub postponed: usize,
    /// The time until the next token of a rate that has kept tasks back.
    pub next_token: Option<Duration>,
    /// The rates of this node that do not count, because another node has a stricter one.
    pub stricter: Vec<StricterRate>,
    /// The newest of these tasks; nothing if the database need not know ([`Store::claims_behind`]).
    pub position: ClaimPosition,
}

/// What an UPDATE has claimed from one queue, as far as it is read.
#[derive(Default)]
pub(super) struct ClaimedRows {
    found: ClaimResult,
    /// With their priorities.
    tasks: Vec<(i32, ClaimedTask)>,
    unreadable: Vec<UnreadableTask>,
}

impl ClaimedRows {
    /// Reads the next row.
    ///
    /// # Errors
    /// If not even the number of the task can be read.
    pub(super) fn read(&mut self, store: &Store, row: &QueryResult, queue: &QueueName) -> Result<(), StoreError> {
        if store.claims_behind() {
            self.found.position.advance(row.try_get("", "priority")?, row.try_get("", "id")?);
        }
        if row.try_get::<String>("", "state")? != "running" {
            self.found.postponed += 1;
            return Ok(());
        }
        let read = store.claimed(row, queue).and_then(|task| {
            check_fence(task.claim.fence)?;
            Ok((column::<i32>(row, "priority")?, task))
        });
        match read {
            Ok(task) => self.tasks.push(task),
            Err(why) => self.unreadable.push(UnreadableTask::new(row, why)?),
        }
        Ok(())
    }

    /// The result of the claim, in the order of the queue. Tasks that cannot be read are set aside.
    pub(super) async fn into_result(mut self, store: &Store, node: &NodeId, queue: &QueueName) -> ClaimResult {
        self.found.postponed += self.unreadable.len();
        store.set_aside_claimed(node, queue, &self.unreadable).await;
        self.tasks.sort_by_key(|(priority, task)| (*priority, task.claim.task_id));
        ClaimResult { tasks: self.tasks.into_iter().map(|(_, task)| task).collect(), ..self.found }
    }
}
