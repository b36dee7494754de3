//! Priorities that age: a task that waits gains a step for each time that has passed, without a single write.
//!
//! Within one priority the oldest task has aged most. So the claim compares the first tasks of each priority, which the index
//! of the queue has in order, and its cost does not depend on how many wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::Value;

use super::{Store, StoreError, connection::DatabaseTransaction, row_decoding::instant};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::limits::aged,
};

/// How many priorities are compared, from the most urgent on.
const PRIORITIES: usize = 32;

impl Store {
    /// Chooses up to `count` tasks by aged priority and age. `filter` is a further condition, with its parameters.
    pub(super) async fn choose_aged(
        &self,
        transaction: &DatabaseTransaction,
        (node, queue): (&NodeId, &QueueName),
        (aging, count): (Duration, usize),
        filter: &str,
        filter_values: &[Value],
    ) -> Result<Vec<i64>, StoreError> {
        let priorities = self.priorities(transaction, queue).await?;
        let from = self.candidates(&format!("{filter} AND priority = ?"));
        let sql = format!("SELECT id, run_at, {} AS at {from}", self.dialect.now());
        let (own, name) = (node.as_str(), queue.as_str());
        let mut found: Vec<(i64, i64)> = Vec::new();
        for priority in priorities {
            let mut values: Vec<Value> = vec![name.into(), name.into(), own.into()];
            values.extend(filter_values.iter().cloned());
            values.extend([priority.into(), (count as i64).into()]);
            for row in &self.all(transaction, &sql, values).await? {
                let at: DateTime<Utc> = row.try_get("", "at")?;
                // One whose instant cannot be read has not aged.
                let since = instant(row, "run_at").ok().flatten().unwrap_or(at);
                found.push((aged(priority, since, at, aging), row.try_get("", "id")?));
            }
        }
        found.sort_unstable();
        found.truncate(count);
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// The priorities of the tasks that wait in a queue.
    async fn priorities(&self, transaction: &DatabaseTransaction, queue: &QueueName) -> Result<Vec<i32>, StoreError> {
        let first = "SELECT priority FROM sexton_task WHERE queue = ? AND state = 'available' \
                     ORDER BY priority, id LIMIT 1";
        let next = "SELECT priority FROM sexton_task WHERE queue = ? AND state = 'available' AND priority > ? \
                    ORDER BY priority, id LIMIT 1";
        let mut found: Vec<i32> = Vec::new();
        while found.len() < PRIORITIES {
            let name: Value = queue.as_str().into();
            let rows = match found.last() {
                None => self.all(transaction, first, [name]).await?,
                Some(last) => self.all(transaction, next, [name, (*last).into()]).await?,
            };
            let Some(row) = rows.first() else { break };
            found.push(row.try_get("", "priority")?);
        }
        Ok(found)
    }
}
