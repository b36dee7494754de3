//! Moving the waiting tasks of one queue to another one.

use serde_json::json;
use sexton_entities::states::{AuditAction, AuditTarget};

use super::{Store, StoreError, audit::Deed, claim::ID_COLUMN};
use crate::domain::identity::QueueName;

/// How many tasks one transaction moves.
const PORTION: i64 = 1_000;

impl Store {
    /// The number of tasks of a queue that do not run.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn movable_tasks(&self, from: &QueueName) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS tasks FROM sexton_task WHERE queue = ? AND state <> 'running'";
        let count: i64 = self.one(&self.db, sql, [from.as_str().into()]).await?.try_get("", "tasks")?;
        Ok(count.unsigned_abs())
    }

    /// Moves the tasks of a queue that do not run to another queue. Returns their number.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement: then the tasks that were moved before stay moved.
    pub async fn move_tasks(&self, from: &QueueName, to: &QueueName) -> Result<u64, StoreError> {
        let find = format!(
            "SELECT id, name FROM sexton_task WHERE queue = ? AND state <> 'running' ORDER BY id LIMIT ? {}",
            self.dialect.for_update(),
        );
        let these = self.dialect.rows("d", &ID_COLUMN);
        let parameter = self.dialect.text_parameter();
        let update = self.dialect.update_joined("sexton_task", &[("queue", parameter)], &these, "t.id = d.id");
        let mut total = 0;
        loop {
            let moved = self
                .with_retries(async || {
                    let transaction = self.begin().await?;
                    let rows = self.all(&transaction, &find, [from.as_str().into(), PORTION.into()]).await?;
                    let ids = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<Vec<i64>, _>>()?;
                    let mut deeds = Vec::new();
                    for (row, id) in rows.iter().zip(&ids) {
                        let name: String = row.try_get("", "name")?;
                        let deed = Deed::new(AuditAction::Move, AuditTarget::Task, name).of_task(*id);
                        deeds.push(deed.from_to(json!({ "queue": from }), json!({ "queue": to })));
                    }
                    if !ids.is_empty() {
                        let ids = self.ids(ids.iter().copied());
                        let values = self.dialect.joined_values([to.as_str().into()], ids);
                        self.run(&transaction, &update, values).await?;
                        self.record_deeds(&transaction, &deeds).await?;
                    }
                    self.commit(transaction).await?;
                    Ok(ids.len() as u64)
                })
                .await?;
            total += moved;
            if moved < PORTION.unsigned_abs() {
                return Ok(total);
            }
        }
    }
}
