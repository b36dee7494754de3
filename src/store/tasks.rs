//! Tasks: list, assign a queue, release.

use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};
pub use sexton_client::store::enqueue::Enqueued;
use sexton_entities::{states::TaskState, task};

use super::{
    Store, StoreError,
    claim_conditions::HELD_COLUMNS,
    finish::{CLEARED, RELEASED_ATTEMPT},
};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::claim::ClaimIdentity,
};

/// Selects unfinished tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Only tasks of this definition.
    pub name: Option<String>,
    /// Only tasks in this queue.
    pub queue: Option<QueueName>,
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Maximum number of tasks.
    pub limit: u64,
}

impl Store {
    /// Lists unfinished tasks in the order in which they would be claimed. Tasks that cannot be read are left out and
    /// reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn tasks(&self, filter: &TaskFilter) -> Result<Vec<task::Model>, StoreError> {
        let mut query = self.unfinished();
        if let Some(name) = &filter.name {
            query = query.filter(task::Column::Name.eq(name.clone()));
        }
        if let Some(queue) = &filter.queue {
            query = query.filter(task::Column::Queue.eq(queue.as_str()));
        }
        if let Some(state) = filter.state {
            query = query.filter(task::Column::State.eq(state));
        }
        let query = query.order_by_asc(task::Column::Priority).order_by_asc(task::Column::Id).limit(filter.limit);
        self.readable_selection(query, task::Column::Id, "sexton_task").await
    }

    /// The names of available tasks that were inserted without a queue.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn names_without_queue(&self) -> Result<Vec<String>, StoreError> {
        let rows = self
            .all(&self.db, "SELECT DISTINCT name FROM sexton_task WHERE queue IS NULL AND state = 'available'", [])
            .await?;
        rows.iter().map(|row| Ok(row.try_get("", "name")?)).collect()
    }

    /// Assigns a queue to the tasks of that name that have none, and a priority where theirs is 0. Returns the number
    /// of tasks.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn assign_queue(&self, name: &str, queue: &QueueName, priority: i32) -> Result<u64, StoreError> {
        let sql = "UPDATE sexton_task SET queue = ?, priority = CASE WHEN priority = 0 THEN ? ELSE priority END \
                   WHERE queue IS NULL AND name = ?";
        self.with_retries(async || self.run(&self.db, sql, [queue.as_str().into(), priority.into(), name.into()]).await)
            .await
    }

    /// Releases claimed tasks that were never started: no attempt is counted, and nothing is recorded. Returns the
    /// number of tasks whose claim still held. A task that the database refuses to release is put on hold, or else
    /// reported, and does not keep the others back.
    ///
    /// # Errors
    /// If the database is unavailable.
    pub async fn release(&self, node: &NodeId, claims: &[ClaimIdentity]) -> Result<u64, StoreError> {
        let sets =
            [("state", "'available'"), ("attempt", RELEASED_ATTEMPT)].into_iter().chain(CLEARED).collect::<Vec<_>>();
        let rows = self.dialect.rows("d", &HELD_COLUMNS);
        let sql = self.dialect.update_joined("sexton_task", &sets, &rows, &self.claim_holds());
        let results = self.change_claims(node, claims, &sql).await?;
        for claim in claims.iter().filter(|claim| results.refused.iter().all(|(refused, _)| refused != claim)) {
            self.isolated().forget(format_args!("task {} cannot be released", claim.claim.task_id));
        }
        for (identity, why) in results.refused {
            let task = identity.claim.task_id;
            let hold = match self.hold_unfinished(node, *identity).await {
                Ok(true) => ", and is on hold",
                Ok(false) | Err(StoreError::Refused(_)) => "",
                Err(error) => return Err(error),
            };
            self.isolated().note(format_args!("task {task} cannot be released{hold}"), why);
        }
        Ok(results.done.iter().sum())
    }
}
