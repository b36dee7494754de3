//! Tasks that cannot be read are set aside: discarded on record, with the column that is bad. They are never in the way
//! of the tasks behind them.

use sea_orm::{ConnectionTrait, QueryResult};

use super::{
    Store, StoreError,
    dialect::Kind,
    readable::{UnreadableColumn, column},
    rows::Rows,
};
use crate::domain::identity::NodeId;

const COLUMNS: [(&str, Kind); 3] = [("id", Kind::Integer), ("error", Kind::Text), ("has_payload", Kind::Integer)];

/// A task that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct UnreadableTask {
    id: i64,
    why: String,
    /// The payload can be read, so that history keeps it.
    has_payload: bool,
}

impl UnreadableTask {
    /// The task in that row.
    ///
    /// # Errors
    /// If not even its number can be read.
    pub(super) fn new(row: &QueryResult, UnreadableColumn(why): UnreadableColumn) -> Result<Self, StoreError> {
        let has_payload = column::<Option<serde_json::Value>>(row, "payload").is_ok();
        Ok(Self { id: row.try_get("", "id")?, why: format!("the task cannot be read: {why}"), has_payload })
    }
}

impl Store {
    /// Discards tasks that the caller has locked or claimed, on record. A row of history that is there already stays.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub(super) async fn set_aside<C: ConnectionTrait>(
        &self,
        connection: &C,
        tasks: &[UnreadableTask],
    ) -> Result<(), StoreError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(self.dialect);
        for task in tasks {
            rows.push(|row| {
                row.set("id", task.id).set("error", task.why.clone()).set("has_payload", i64::from(task.has_payload));
            });
        }
        let rows = rows.into_value();
        let table = self.dialect.rows("d", &COLUMNS);
        // Only columns that cannot hold what history does not take.
        let insert = self.dialect.insert_new(
            "sexton_history (task_id, name, queue, schedule, finished_at, attempt, outcome, verdict, error, payload, fence)",
            &format!(
                "SELECT t.id, t.name, t.queue, t.schedule, {}, \
                 CASE WHEN t.attempt BETWEEN 0 AND 2147483647 THEN t.attempt ELSE 0 END, 'failed', 'discarded', d.error, \
                 CASE WHEN d.has_payload = 1 THEN t.payload END, t.fence FROM {table} JOIN sexton_task t ON t.id = d.id",
                self.dialect.now()
            ),
        );
        self.run(connection, &insert, [rows.clone()]).await?;
        self.run(connection, &self.dialect.delete_joined("sexton_task", "id", &table, "t.id = d.id"), [rows]).await?;
        Ok(())
    }

    /// Discards tasks that this node has just claimed. If that fails, they stay claimed, and the rescuer releases them.
    pub(super) async fn set_aside_claimed(&self, node: &NodeId, tasks: &[UnreadableTask]) {
        if tasks.is_empty() {
            return;
        }
        let result = self
            .with_retries(async || {
                let transaction = self.begin().await?;
                self.set_aside(&transaction, tasks).await?;
                self.commit(transaction).await
            })
            .await;
        match result {
            Ok(()) => self.note_set_aside(tasks),
            Err(error) => tracing::warn!("{node} cannot set tasks aside that cannot be read: {error}"),
        }
    }

    /// Notes what was set aside, for the log and the status.
    pub(super) fn note_set_aside(&self, tasks: &[UnreadableTask]) {
        for task in tasks {
            self.isolated().note(format_args!("task {} is discarded", task.id), &task.why);
        }
    }
}
