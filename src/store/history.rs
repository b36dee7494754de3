//! Reading history. It is written by the finish alone.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use sexton_entities::{history, output, states::Outcome};

use super::{Store, StoreError};

/// Which rows of history to show.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// Of this task definition only.
    pub name: Option<String>,
    /// Of this task only.
    pub task_id: Option<i64>,
    /// With this outcome only.
    pub outcome: Option<Outcome>,
    /// That ended at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// At most so many, the newest.
    pub limit: u64,
}

impl Store {
    /// Rows of history, the newest first.
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
            // Follows the index on (name, finished_at), or on finished_at.
            (Some(_), _) | (_, Some(_)) => {
                query.order_by_desc(history::Column::FinishedAt).order_by_desc(history::Column::Id)
            }
            _ => query.order_by_desc(history::Column::Id),
        };
        Ok(newest.limit(filter.limit).all(&self.db).await?)
    }

    /// What the attempt of a history row wrote, if anything.
    pub async fn output(&self, history_id: i64) -> Result<Option<output::Model>, StoreError> {
        Ok(output::Entity::find_by_id(history_id).one(&self.db).await?)
    }
}
