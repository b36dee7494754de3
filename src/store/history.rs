//! Reading the history. Only the finish and the cancel write it, and schedules for skipped instants.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _};
use sexton_entities::{history, output, states::Outcome};

use super::{Store, StoreError};

/// Selects rows of the history.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Only attempts of this task definition.
    pub name: Option<String>,
    /// Only attempts of this task.
    pub task_id: Option<i64>,
    /// Only attempts with this outcome.
    pub outcome: Option<Outcome>,
    /// Only attempts that ended at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Maximum number of rows; the newest are returned.
    pub limit: u64,
}

impl Store {
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
        let query = newest.limit(filter.limit).build(self.backend());
        self.readable(&self.db, query, "sexton_history", "id").await
    }

    /// The captured output of an attempt, if it wrote any.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn output(&self, history_id: i64) -> Result<Option<output::Model>, StoreError> {
        Ok(output::Entity::find_by_id(history_id).one(&self.db).await?)
    }
}
