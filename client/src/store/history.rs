//! Reading the history. Only the finish and the cancel write it, and schedules for skipped instants.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _, sea_query::LikeExpr,
};
use sexton_entities::{
    history, output,
    states::{Outcome, Verdict},
};

use super::{StoreError, TaskStore};
use crate::domain::identity::QueueName;

/// Selects rows of the history.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Only attempts of this task definition.
    pub name: Option<String>,
    /// Only attempts of this task.
    pub task_id: Option<i64>,
    /// Only attempts with this outcome.
    pub outcome: Option<Outcome>,
    /// Only attempts with this verdict.
    pub verdict: Option<Verdict>,
    /// Only attempts in this queue.
    pub queue: Option<QueueName>,
    /// Only attempts for this schedule.
    pub schedule: Option<String>,
    /// Only attempts on the node of this boot id, or on the nodes of this name.
    pub node: Option<String>,
    /// Only attempts that ended at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Maximum number of rows; the newest are returned.
    pub limit: u64,
}

impl TaskStore {
    /// Lists rows of the history, the newest first. Rows that cannot be read are left out and reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn history(&self, filter: &HistoryFilter) -> Result<Vec<history::Model>, StoreError> {
        let mut query = history::Entity::find();
        if let Some(name) = &filter.name {
            query = query.filter(history::Column::Name.eq(name.clone()));
        }
        if let Some(id) = filter.task_id {
            query = query.filter(history::Column::TaskId.eq(id));
        }
        if let Some(outcome) = filter.outcome {
            query = query.filter(history::Column::Outcome.eq(outcome));
        }
        if let Some(verdict) = filter.verdict {
            query = query.filter(history::Column::Verdict.eq(verdict));
        }
        if let Some(queue) = &filter.queue {
            query = query.filter(history::Column::Queue.eq(queue.as_str()));
        }
        if let Some(schedule) = &filter.schedule {
            query = query.filter(history::Column::Schedule.eq(schedule.clone()));
        }
        if let Some(node) = &filter.node {
            query = query.filter(is_on_node(node));
        }
        if let Some(since) = filter.since {
            query = query.filter(history::Column::FinishedAt.gte(since));
        }
        let newest = match (&filter.name, filter.since) {
            // Uses the index on (name, finished_at), or the one on finished_at.
            (Some(_), _) | (_, Some(_)) => {
                query.order_by_desc(history::Column::FinishedAt).order_by_desc(history::Column::Id)
            }
            _ => query.order_by_desc(history::Column::Id),
        };
        self.readable_selection(newest.limit(filter.limit), history::Column::Id, "sexton_history").await
    }

    /// The row that ended a task: the latest one with a verdict.
    ///
    /// # Errors
    /// If the row cannot be read, or the database is unavailable or refuses the statement.
    pub async fn last_row(&self, task_id: i64) -> Result<Option<history::Model>, StoreError> {
        let query = history::Entity::find().filter(history::Column::TaskId.eq(task_id));
        let query = query.filter(history::Column::Verdict.is_not_null()).order_by_desc(history::Column::Id).limit(1);
        self.readable_one(query.build(self.backend()), &format!("the history of task {task_id}")).await
    }

    /// The captured output of an attempt, if it wrote any.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn output(&self, history_id: i64) -> Result<Option<output::Model>, StoreError> {
        Ok(output::Entity::find_by_id(history_id).one(&self.db).await?)
    }
}

/// The number of random digits after the name of a node.
const NODE_DIGITS: usize = 12;

/// The condition that an attempt was on the node of this boot id, or on a node of this name.
fn is_on_node(node: &str) -> Condition {
    let mut pattern = String::new();
    for letter in node.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('-');
    pattern.push_str(&"_".repeat(NODE_DIGITS));
    let named = history::Column::Node.like(LikeExpr::new(pattern).escape('!'));
    Condition::any().add(history::Column::Node.eq(node)).add(named)
}
