//! What a retry of a group brings back beside its failed members: the tasks after it that were skipped because of them.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QueryTrait as _};
use sexton_client::domain::new_task::NewTask;
use sexton_entities::{
    history,
    states::{FanIn, Required},
};

use super::{Store, StoreError, followers::PredecessorRow};

impl Store {
    /// The rows of the history of tasks that were skipped because a group had not succeeded, and that nobody has retried
    /// since. Each has the conditions under which it began, in the place of a new task.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the query.
    pub async fn skipped_after_group(&self, group: &str) -> Result<Vec<(history::Model, NewTask)>, StoreError> {
        let sql = "SELECT DISTINCT h.id FROM sexton_task_dependency w JOIN sexton_history h ON h.task_id = w.task_id \
                   AND h.outcome = 'skipped' AND h.reason_code = 'predecessor' WHERE w.after_group = ? \
                   AND w.required = 'success' AND w.outcome IN ('failed', 'cancelled') AND NOT EXISTS \
                   (SELECT 1 FROM sexton_audit a WHERE a.task_id = h.task_id AND a.action = 'retry' \
                   AND a.done_at >= h.finished_at)";
        let rows = self.all(&self.db, sql, [group.into()]).await?;
        let ids = rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<i64>, StoreError>>()?;
        let query = history::Entity::find().filter(history::Column::Id.is_in(ids));
        let query = query.order_by_asc(history::Column::Id).build(self.backend());
        let skipped: Vec<history::Model> = self.readable(&self.db, query, "sexton_history", "id").await?;
        let tasks: Vec<i64> = skipped.iter().filter_map(|row| row.task_id).collect();
        let mut known: BTreeMap<i64, Vec<PredecessorRow>> = BTreeMap::new();
        for row in self.predecessors(&tasks).await? {
            known.entry(row.task_id).or_default().push(row);
        }
        let with_conditions = |row: history::Model| {
            let predecessors = known.remove(&row.task_id.unwrap_or_default()).unwrap_or_default();
            let task = conditions(&row.name, &predecessors);
            (row, task)
        };
        Ok(skipped.into_iter().map(with_conditions).collect())
    }
}

/// A task that waits as the one of these rows did.
fn conditions(name: &str, rows: &[PredecessorRow]) -> NewTask {
    let first = rows.first();
    NewTask {
        after: rows.iter().filter_map(|row| row.after_id).collect(),
        after_groups: rows.iter().filter_map(|row| row.after_group.clone()).collect(),
        when: first.and_then(|row| Required::from_word(&row.required)),
        any: first.is_some_and(|row| FanIn::from_word(&row.fan_in) == Some(FanIn::Any)),
        ..NewTask::new(name)
    }
}
