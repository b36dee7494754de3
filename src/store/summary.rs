//! Schedules with their latest runs, for summaries.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryTrait as _};
use sexton_entities::{history, schedule, states::Origin};

use super::{Store, StoreError, dialect::Kind, rows::Rows};

/// A finished attempt of a schedule's task.
pub type LastRun = history::Model;

/// A schedule and its latest finished attempt.
#[derive(Clone, Debug)]
pub struct SchedulePicture {
    /// The schedule as the database has it.
    pub schedule: schedule::Model,
    /// The latest finished attempt of its task, also of one that was not enqueued by the schedule; without one,
    /// its latest skipped instant. Superseded attempts do not count.
    pub last: Option<LastRun>,
}

impl Store {
    /// Lists all schedules by name, each with its latest finished attempt.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn schedule_pictures(&self) -> Result<Vec<SchedulePicture>, StoreError> {
        let schedules = self.schedules().await?;
        let mut rows = Rows::new(self.dialect);
        for schedule in &schedules {
            rows.push(|row| {
                // Several schedules may start the same task.
                let is_beside = schedule.origin == Origin::Database || schedule.name != schedule.task;
                let own = is_beside.then(|| schedule.name.clone());
                row.set("name", schedule.name.clone()).set("task", schedule.task.clone()).set("schedule", own);
            });
        }
        let latest = |which: &str| {
            format!(
                "(SELECT h.id FROM sexton_history h WHERE h.name = d.task \
                 AND (d.schedule IS NULL OR h.schedule = d.schedule) AND {which} ORDER BY h.finished_at DESC LIMIT 1)"
            )
        };
        let sql = format!(
            "SELECT d.name AS name, COALESCE({}, {}) AS id FROM {}",
            latest("h.outcome NOT IN ('superseded', 'skipped')"),
            latest("h.outcome = 'skipped'"),
            self.dialect.rows("d", &[("name", Kind::Text), ("task", Kind::Text), ("schedule", Kind::Text)])
        );
        let mut runs: HashMap<String, i64> = HashMap::new();
        for row in self.all(&self.db, &sql, [rows.into_value()]).await? {
            if let Some(id) = row.try_get::<Option<i64>>("", "id")? {
                runs.insert(row.try_get("", "name")?, id);
            }
        }
        let ids: Vec<i64> = runs.values().copied().collect();
        let mut last = HashMap::new();
        for batch in ids.chunks(5_000) {
            let query = history::Entity::find().filter(history::Column::Id.is_in(batch.to_vec())).build(self.backend());
            let found: Vec<LastRun> = self.readable(&self.db, query, "sexton_history", "id").await?;
            last.extend(found.into_iter().map(|run| (run.id, run)));
        }
        Ok(schedules
            .into_iter()
            .map(|schedule| {
                let run = runs.get(&schedule.name).and_then(|id| last.get(id));
                SchedulePicture { last: run.cloned(), schedule }
            })
            .collect())
    }
}
