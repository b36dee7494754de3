//! Tasks that expire: from that instant on no claim takes them, and they end in the history as skipped.
//!
//! A task expires before it begins, or not at all: one that waits for a retry, or that was snoozed, has begun.

use sea_orm::Value;

use super::{
    Store, StoreError,
    claim::{ID_COLUMN, UNBEGUN},
    unknown::Portion,
};
use crate::domain::identity::QueueName;

/// How many tasks one transaction ends.
const PORTION: i64 = 500;

impl Store {
    /// The queues with tasks that have expired. None stands for tasks without a queue.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn queues_with_expired_tasks(&self) -> Result<Vec<Option<QueueName>>, StoreError> {
        let sql =
            format!("SELECT DISTINCT queue FROM sexton_task WHERE expires_at <= {} AND {UNBEGUN}", self.dialect.now());
        let rows = self.all(&self.db, &sql, []).await?;
        rows.iter().map(|row| Ok(row.try_get::<Option<String>>("", "queue")?.map(QueueName::from))).collect()
    }

    /// Ends the tasks of a queue that have expired, with this sentence as the reason. Returns their number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn skip_expired(&self, queue: Option<&QueueName>, why: &str) -> Result<u64, StoreError> {
        let (of_queue, queue): (_, Option<Value>) = match queue {
            Some(queue) => ("queue = ?", Some(queue.as_str().into())),
            None => ("queue IS NULL", None),
        };
        let now = self.dialect.now();
        let find = format!(
            "SELECT id FROM sexton_task WHERE expires_at <= {now} AND {UNBEGUN} AND {of_queue} ORDER BY id LIMIT ? {}",
            self.dialect.for_update(),
        );
        let these = self.dialect.rows("d", &ID_COLUMN);
        let record = format!(
            "INSERT INTO sexton_history (task_id, name, queue, schedule, due_at, enqueued_at, finished_at, attempt, \
             outcome, verdict, reason_code, error, payload, fence, traceparent, group_name) SELECT t.id, t.name, t.queue, t.schedule, t.due_at, \
             t.enqueued_at, {now}, t.attempt, 'skipped', 'discarded', 'expired', {}, t.payload, t.fence + 1, t.traceparent, t.group_name \
             FROM {these} JOIN sexton_task t ON t.id = d.id",
            self.dialect.text_parameter(),
        );
        let delete = self.dialect.delete_joined("sexton_task", "id", &these, "t.id = d.id");
        let steps = [(record.as_str(), Some(why)), (delete.as_str(), None)];
        self.in_portions(
            &find,
            queue.into_iter().chain([PORTION.into()]).collect(),
            PORTION,
            &steps,
            Portion::Ends(None),
        )
        .await
    }
}
