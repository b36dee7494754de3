//! Selecting unfinished tasks for a bulk command: by filters, in portions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::Value;
use sexton_entities::states::TaskState;

use super::{StoreError, TaskStore};
use crate::domain::identity::QueueName;

/// The number of tasks that one transaction changes.
pub const PORTION: usize = 500;

/// Selects unfinished tasks. Without any condition, it selects all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskSelection {
    /// Only tasks of this definition.
    pub name: Option<String>,
    /// Only tasks in this queue.
    pub queue: Option<QueueName>,
    /// Only tasks in one of these states; in any state if the list is empty.
    pub states: Vec<TaskState>,
    /// Only tasks of this schedule.
    pub schedule: Option<String>,
    /// Only tasks of this group.
    pub group: Option<String>,
    /// Only tasks that were enqueued at this instant or later.
    pub since: Option<DateTime<Utc>>,
}

/// Goes through the selected tasks, in ascending order of their numbers. Tasks that are enqueued later are not among them.
#[derive(Debug)]
pub struct SelectedTasks<'a> {
    store: &'a TaskStore,
    selection: &'a TaskSelection,
    /// The last task that was returned.
    after: i64,
    /// The newest task when it began.
    newest: i64,
}

impl SelectedTasks<'_> {
    /// The numbers of the next tasks; empty at the end.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn next(&mut self) -> Result<Vec<i64>, StoreError> {
        let (condition, mut values) = self.store.selection_condition(self.selection);
        let sql = format!(
            "SELECT t.id FROM sexton_task t WHERE {condition} AND t.id > ? AND t.id <= ? ORDER BY t.id LIMIT ?"
        );
        values.extend([self.after.into(), self.newest.into(), (PORTION as i64).into()]);
        let rows = self.store.all(&self.store.db, &sql, values).await?;
        let ids = rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<i64>, StoreError>>()?;
        self.after = ids.last().copied().unwrap_or(self.newest);
        Ok(ids)
    }
}

impl TaskStore {
    /// Goes through the tasks that are selected now.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn selected<'a>(&'a self, selection: &'a TaskSelection) -> Result<SelectedTasks<'a>, StoreError> {
        let newest = self.one(&self.db, "SELECT MAX(id) AS newest FROM sexton_task", []).await?;
        let newest: Option<i64> = newest.try_get("", "newest")?;
        Ok(SelectedTasks { store: self, selection, after: i64::MIN, newest: newest.unwrap_or(i64::MIN) })
    }

    /// The number of selected tasks by state.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn count_selected(&self, selection: &TaskSelection) -> Result<BTreeMap<String, u64>, StoreError> {
        let (condition, values) = self.selection_condition(selection);
        let sql = format!("SELECT t.state, COUNT(*) AS tasks FROM sexton_task t WHERE {condition} GROUP BY t.state");
        let rows = self.all(&self.db, &sql, values).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("", "state")?, row.try_get::<i64>("", "tasks")?.try_into().unwrap_or(0))))
            .collect()
    }

    /// The condition that a task `t` is selected, with its parameters.
    pub fn selection_condition(&self, selection: &TaskSelection) -> (String, Vec<Value>) {
        let (mut condition, mut values) = ("1 = 1".to_owned(), Vec::new());
        let texts = [
            ("name", selection.name.as_deref()),
            ("queue", selection.queue.as_deref()),
            ("schedule", selection.schedule.as_deref()),
            ("group_name", selection.group.as_deref()),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                condition += &format!(" AND t.{column} = ?");
                values.push(text.into());
            }
        }
        if !selection.states.is_empty() {
            let each = vec!["t.state = ?"; selection.states.len()];
            condition += &format!(" AND ({})", each.join(" OR "));
            values.extend(selection.states.iter().map(|state| state.as_str().into()));
        }
        if let Some(since) = selection.since {
            condition += &format!(" AND t.enqueued_at >= {}", self.dialect.instant_parameter());
            values.push(self.dialect.instant(since).into());
        }
        (condition, values)
    }
}
