//! What a new task waits for: checked, and written beside the task.

use sea_orm::ConnectionTrait;
use sexton_entities::states::{FanIn, Required};

use super::{
    StoreError, TaskStore,
    dialect::Kind,
    rows::{ID_COLUMN, Rows},
};
use crate::domain::new_task::{InvalidTask, NewTask};

const DEPENDENCY: [(&str, Kind); 5] = [
    ("task_id", Kind::Integer),
    ("after_id", Kind::Integer),
    ("after_group", Kind::Text),
    ("required", Kind::Text),
    ("fan_in", Kind::Text),
];
const GROUP: [(&str, Kind); 1] = [("group_name", Kind::Text)];

impl TaskStore {
    /// Checks that each task and group for which a new task waits is unfinished or in the history.
    pub(super) async fn check_predecessors<C: ConnectionTrait>(
        &self,
        connection: &C,
        new: &NewTask,
    ) -> Result<(), StoreError> {
        if !new.after.is_empty() {
            let sql = format!(
                "SELECT d.id FROM {} WHERE NOT EXISTS (SELECT 1 FROM sexton_task t WHERE t.id = d.id) \
                 AND NOT EXISTS (SELECT 1 FROM sexton_history h WHERE h.task_id = d.id AND h.verdict IS NOT NULL) \
                 ORDER BY d.id LIMIT 1",
                self.dialect.rows("d", &ID_COLUMN)
            );
            if let Some(row) = self.all(connection, &sql, [self.ids(new.after.iter().copied())]).await?.first() {
                return Err(InvalidTask::NoPredecessor(row.try_get("", "id")?).into());
            }
        }
        for group in &new.after_groups {
            if !self.is_group(connection, group).await? {
                return Err(InvalidTask::NoGroup(group.clone()).into());
            }
        }
        Ok(())
    }

    /// Whether a group has a task, unfinished or in the history.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn is_group<C: ConnectionTrait>(&self, connection: &C, group: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT d.group_name FROM {} WHERE EXISTS (SELECT 1 FROM sexton_task t WHERE t.group_name = d.group_name) \
             OR EXISTS (SELECT 1 FROM sexton_history h WHERE h.group_name = d.group_name)",
            self.dialect.rows("d", &GROUP)
        );
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("group_name", group);
        });
        Ok(!self.all(connection, &sql, [rows.into_value()]).await?.is_empty())
    }

    /// Writes for what a new task waits. What has ended already is settled by a node, which may do more than the role of an
    /// application.
    pub(super) async fn add_dependencies<C: ConnectionTrait>(
        &self,
        connection: &C,
        id: i64,
        new: &NewTask,
    ) -> Result<(), StoreError> {
        let required = new.when.unwrap_or(Required::Success).as_str();
        let fan_in = if new.any { FanIn::Any } else { FanIn::All }.as_str();
        let mut rows = Rows::new(self.dialect);
        let mut after = new.after.clone();
        after.sort_unstable();
        after.dedup();
        for after in after {
            rows.push(|row| {
                row.set("task_id", id).set("after_id", after).set("required", required).set("fan_in", fan_in);
            });
        }
        for group in &new.after_groups {
            rows.push(|row| {
                row.set("task_id", id).set("after_group", group.as_str());
                row.set("required", required).set("fan_in", fan_in);
            });
        }
        let sql = format!(
            "INSERT INTO sexton_task_dependency (task_id, after_id, after_group, required, fan_in) \
             SELECT d.task_id, d.after_id, d.after_group, d.required, d.fan_in FROM {}",
            self.dialect.rows("d", &DEPENDENCY)
        );
        self.run(connection, &sql, [rows.into_value()]).await.map(|_| ())
    }
}
