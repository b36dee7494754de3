//! Groups: how many of their tasks wait, run and have ended. The numbers are counted when somebody asks: no row is common
//! to the members of a group, so that their ends do not wait for one another. A member that was retried by hand counts as its
//! new task.

use sea_orm::{QueryResult, Value};
use serde::Serialize;

use super::{Store, StoreError};

/// A group with the numbers of its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupCounts {
    /// Its name.
    pub name: String,
    /// Tasks that have not begun, or wait for their next attempt.
    pub waiting: i64,
    /// Tasks that run.
    pub running: i64,
    /// Tasks that were completed.
    pub completed: i64,
    /// Tasks that failed, are not tried again and were not retried by hand.
    pub failed: i64,
    /// Tasks that were cancelled, or skipped.
    pub cancelled: i64,
    /// Tasks that wait for the end of the group.
    pub followers: i64,
}

impl GroupCounts {
    /// The number of its tasks that have not ended.
    pub fn unfinished(&self) -> i64 {
        self.waiting + self.running
    }
}

/// A task that waits for a group, or an unfinished member of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupMember {
    /// The number of the task.
    pub id: i64,
    /// The name of its definition.
    pub name: String,
    /// Its state.
    pub state: String,
}

/// What is counted of a task `t`, and of a row `h` of the history.
const UNFINISHED: &str = "SELECT t.group_name AS name, COUNT(CASE WHEN t.state <> 'running' THEN 1 END) AS waiting, \
     COUNT(CASE WHEN t.state = 'running' THEN 1 END) AS running FROM sexton_task t WHERE t.group_name";
const FINISHED: &str = "SELECT h.group_name AS name, COUNT(CASE WHEN h.verdict = 'completed' THEN 1 END) AS completed, \
     COUNT(CASE WHEN h.verdict = 'discarded' AND h.outcome <> 'skipped' THEN 1 END) AS failed, \
     COUNT(CASE WHEN h.verdict = 'cancelled' OR h.outcome = 'skipped' THEN 1 END) AS cancelled \
     FROM sexton_history h WHERE h.verdict IN ('completed', 'discarded', 'cancelled') AND (h.verdict = 'completed' \
     OR NOT EXISTS (SELECT 1 FROM sexton_audit a WHERE a.task_id = h.task_id AND a.action = 'retry' \
     AND a.done_at >= h.finished_at)) AND h.group_name";
const FOLLOWERS: &str = "SELECT w.after_group AS name, COUNT(*) AS followers FROM sexton_task_dependency w \
     JOIN sexton_task t ON t.id = w.task_id AND t.state = 'waiting' WHERE w.after_group";

impl Store {
    /// The groups that have tasks, unfinished or in the history, by name.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn groups(&self) -> Result<Vec<GroupCounts>, StoreError> {
        self.count_groups("IS NOT NULL", None).await
    }

    /// One group; none if it has no task, neither unfinished nor in the history.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn group(&self, name: &str) -> Result<Option<GroupCounts>, StoreError> {
        Ok(self.count_groups("= ?", Some(name.into())).await?.pop())
    }

    async fn count_groups(&self, condition: &str, value: Option<Value>) -> Result<Vec<GroupCounts>, StoreError> {
        let mut groups = std::collections::BTreeMap::<String, GroupCounts>::new();
        // A task that ends between the statements counts twice, rather than not at all.
        for (part, by) in [(UNFINISHED, "t.group_name"), (FINISHED, "h.group_name"), (FOLLOWERS, "w.after_group")] {
            let sql = format!("{part} {condition} GROUP BY {by}");
            for row in &self.all(&self.db, &sql, value.clone()).await? {
                let name: String = row.try_get("", "name")?;
                let group =
                    groups.entry(name.clone()).or_insert_with(|| GroupCounts { name, ..GroupCounts::default() });
                let read = |column: &str| row.try_get::<i64>("", column).unwrap_or_default();
                match part {
                    FINISHED => {
                        group.completed = read("completed");
                        group.failed = read("failed");
                        group.cancelled = read("cancelled");
                    }
                    UNFINISHED => (group.waiting, group.running) = (read("waiting"), read("running")),
                    _ => group.followers = read("followers"),
                }
            }
        }
        Ok(groups.into_values().collect())
    }

    /// The unfinished members of a group, at most `limit`, the oldest first.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn group_members(&self, name: &str, limit: u64) -> Result<Vec<GroupMember>, StoreError> {
        let sql = "SELECT id, name, state FROM sexton_task WHERE group_name = ? ORDER BY id LIMIT ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(&self.db, sql, [name.into(), limit.into()]).await?.iter().map(member).collect()
    }

    /// The tasks that wait for the end of a group.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn group_followers(&self, name: &str) -> Result<Vec<GroupMember>, StoreError> {
        let sql = "SELECT DISTINCT t.id, t.name, t.state FROM sexton_task_dependency w \
                   JOIN sexton_task t ON t.id = w.task_id AND t.state = 'waiting' WHERE w.after_group = ? ORDER BY t.id";
        self.all(&self.db, sql, [name.into()]).await?.iter().map(member).collect()
    }
}

/// Reads the columns `id`, `name` and `state`.
pub(super) fn member(row: &QueryResult) -> Result<GroupMember, StoreError> {
    Ok(GroupMember { id: row.try_get("", "id")?, name: row.try_get("", "name")?, state: row.try_get("", "state")? })
}
