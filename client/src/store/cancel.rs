//! The cancel: of tasks that wait at once, of running ones by a request to their node.

use sea_orm::Value;
use serde_json::json;
use sexton_entities::states::{AuditAction, AuditTarget, TaskState};

use super::{
    StoreError, TaskStore,
    connection::DatabaseTransaction,
    deeds::{Deed, Signature},
    rows::ID_COLUMN,
    selection::TaskSelection,
};

/// The result of a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelResult {
    /// The task had not started. It is in the history as cancelled.
    Cancelled,
    /// The task runs. Its node will stop it.
    Requested,
    /// There is no unfinished task with that number, or it is not selected any more.
    NotThere,
}

/// A task that a transaction has locked.
pub struct LockedTask {
    /// Its number.
    pub id: i64,
    /// The name of its definition.
    pub name: String,
    /// Its state as it is stored; an earlier version may have left an unknown one.
    pub state: String,
}

impl LockedTask {
    /// Whether a node runs it.
    pub fn is_running(&self) -> bool {
        self.state == TaskState::Running.as_str()
    }
}

impl TaskStore {
    /// Cancels a task that has not started, or requests the cancel of a running one.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn cancel(&self, id: i64) -> Result<CancelResult, StoreError> {
        let results = self.cancel_all(&[id], &TaskSelection::default()).await?;
        Ok(results.first().map_or(CancelResult::NotThere, |(_, result)| *result))
    }

    /// Cancels these tasks in one transaction, as far as they are still selected. Returns what became of each.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement: then none is cancelled.
    pub async fn cancel_all(
        &self,
        ids: &[i64],
        selection: &TaskSelection,
    ) -> Result<Vec<(i64, CancelResult)>, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let found = self.lock_selected(&transaction, ids, selection).await?;
            let (running, waiting): (Vec<_>, Vec<_>) = found.iter().partition(|task| task.is_running());
            self.request_cancel(&transaction, &running).await?;
            let waiting: Vec<i64> = waiting.iter().map(|task| task.id).collect();
            self.end_cancelled(&transaction, &waiting, self.signature()).await?;
            let deed = |task: &LockedTask| {
                let after = match task.is_running() {
                    true => json!({ "state": task.state, "cancel_requested": true }),
                    false => json!({ "state": "cancelled" }),
                };
                Deed::new(AuditAction::Cancel, AuditTarget::Task, task.name.as_str())
                    .of_task(task.id)
                    .from_to(json!({ "state": task.state }), after)
            };
            self.record_deeds(&transaction, &found.iter().map(deed).collect::<Vec<_>>()).await?;
            self.commit(transaction).await?;
            let result = |id: &i64| match found.iter().find(|task| task.id == *id) {
                Some(task) if task.is_running() => CancelResult::Requested,
                Some(_) => CancelResult::Cancelled,
                None => CancelResult::NotThere,
            };
            Ok(ids.iter().map(|id| (*id, result(id))).collect())
        })
        .await
    }

    /// Locks those of the tasks that are there and selected, in ascending order.
    pub async fn lock_selected(
        &self,
        transaction: &DatabaseTransaction,
        ids: &[i64],
        selection: &TaskSelection,
    ) -> Result<Vec<LockedTask>, StoreError> {
        let (condition, values) = self.selection_condition(selection);
        let sql = format!(
            "SELECT t.id, t.name, t.state FROM {} JOIN sexton_task t ON t.id = d.id WHERE {condition} \
             ORDER BY t.id {}",
            self.dialect.rows_beside_locks("d", &ID_COLUMN),
            self.dialect.for_update(),
        );
        let values = std::iter::once(self.ids(ids.iter().copied())).chain(values);
        let rows = self.all(transaction, &sql, values).await?;
        rows.iter()
            .map(|row| {
                let (id, name, state) = (row.try_get("", "id")?, row.try_get("", "name")?, row.try_get("", "state")?);
                Ok(LockedTask { id, name, state })
            })
            .collect()
    }

    async fn request_cancel(&self, transaction: &DatabaseTransaction, tasks: &[&LockedTask]) -> Result<(), StoreError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let sets = [("cancel_requested_at", self.dialect.now())];
        let rows = self.dialect.rows("d", &ID_COLUMN);
        let sql = self.dialect.update_joined("sexton_task", &sets, &rows, "t.id = d.id");
        self.run(transaction, &sql, [self.ids(tasks.iter().map(|task| task.id))]).await.map(|_| ())
    }

    /// Moves tasks that have not started to the history, as cancelled by `signature`, and settles those that wait for them.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn end_cancelled(
        &self,
        transaction: &DatabaseTransaction,
        ids: &[i64],
        signature: Signature,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let rows = self.dialect.rows("d", &ID_COLUMN);
        let insert = format!(
            "INSERT INTO sexton_history (task_id, name, queue, schedule, due_at, enqueued_at, finished_at, attempt, \
             outcome, verdict, error, payload, fence, cancelled_by, cancelled_host, cancel_reason, traceparent, group_name) \
             SELECT t.id, t.name, t.queue, t.schedule, t.due_at, t.enqueued_at, {now}, t.attempt, 'cancelled', \
             'cancelled', 'cancelled before it started', t.payload, t.fence, {text}, {text}, {text}, t.traceparent, t.group_name \
             FROM {rows} JOIN sexton_task t ON t.id = d.id",
            now = self.dialect.now(),
            text = self.dialect.text_parameter(),
        );
        let these = self.ids(ids.iter().copied());
        let Signature { by, host, reason } = signature;
        let values: [Value; 4] = [by.into(), host.into(), reason.into(), these.clone()];
        self.run(transaction, &insert, values).await?;
        let delete = self.dialect.delete_joined("sexton_task", "id", &rows, "t.id = d.id");
        self.run(transaction, &delete, [these]).await?;
        self.settle_followers(transaction, ids).await.map(|_| ())
    }
}
