//! Queries for the record of a schedule's instants: ledger, tasks and history.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{EntityTrait, IdenStatic as _, Iterable as _, QueryTrait as _, Statement};
use sexton_entities::{history, occurrence, schedule, task};

use super::{Store, StoreError, dialect::Kind, rows::Rows};
use crate::domain::schedule::why::Run;

const INSTANT: [(&str, Kind); 4] =
    [("schedule", Kind::Text), ("task", Kind::Text), ("due_at", Kind::Instant), ("finished_from", Kind::Instant)];
/// A run finishes after its instant, but the clocks of node and database may differ by this much.
const SLACK: TimeDelta = TimeDelta::days(1);

impl Store {
    /// The row of a schedule. `None` if there is no schedule of that name.
    ///
    /// # Errors
    /// If the database is not available or refuses a query.
    pub async fn schedule(&self, name: &str) -> Result<Option<schedule::Model>, StoreError> {
        let query = schedule::Entity::find_by_id(name).build(self.backend());
        Ok(self.readable(&self.db, query, "sexton_schedule", "name").await?.pop())
    }

    /// The entry of an instant in the ledger, and the next entry of its schedule.
    ///
    /// # Errors
    /// If the database is not available or refuses a query.
    pub async fn occurrences_from(
        &self,
        schedule: &str,
        at: DateTime<Utc>,
    ) -> Result<(Option<occurrence::Model>, Option<occurrence::Model>), StoreError> {
        let find = async |sign: &str| {
            let on = format!("sexton_occurrence x ON x.schedule = d.schedule AND x.due_at {sign} d.due_at");
            let query = self.about("x.*", &format!("{on} ORDER BY x.due_at LIMIT 1"), (schedule, ""), at);
            Ok::<_, StoreError>(self.readable(&self.db, query, "sexton_occurrence", "schedule").await?.pop())
        };
        Ok((find("=").await?, find(">").await?))
    }

    /// The task of an instant, and the latest attempt that had a verdict.
    ///
    /// # Errors
    /// If the database is not available or refuses a query.
    pub async fn run_of(&self, schedule: &str, at: DateTime<Utc>) -> Result<Run, StoreError> {
        Ok(self.runs(schedule, "=", at).await?.remove(&at).unwrap_or_default())
    }

    /// The same for every instant from `at` on, by instant.
    ///
    /// # Errors
    /// If the database is not available or refuses a query.
    pub async fn runs_from(
        &self,
        schedule: &str,
        at: DateTime<Utc>,
    ) -> Result<HashMap<DateTime<Utc>, Run>, StoreError> {
        self.runs(schedule, ">=", at).await
    }

    async fn runs(
        &self,
        schedule: &str,
        sign: &str,
        at: DateTime<Utc>,
    ) -> Result<HashMap<DateTime<Utc>, Run>, StoreError> {
        let own = format!("x.schedule = d.schedule AND x.due_at {sign} d.due_at");
        let columns: Vec<String> = task::Column::iter()
            .map(|column| match column {
                task::Column::RunAt => format!("{} AS run_at", self.dialect.readable_instant("x.run_at")),
                other => format!("x.{}", other.as_str()),
            })
            .collect();
        let unfinished = self.about(&columns.join(", "), &format!("sexton_task x ON {own}"), (schedule, ""), at);
        // History has an index on the name of the task and the end. A schedule of the database that was removed leaves no
        // task; others that have no row have its name.
        let task = self.schedule(schedule).await?.map_or_else(|| schedule.to_owned(), |row| row.task);
        let decided = format!(
            "sexton_history x ON x.name = d.task AND x.finished_at >= d.finished_from AND {own} \
             WHERE x.verdict IS NOT NULL ORDER BY x.id"
        );
        let mut runs: HashMap<DateTime<Utc>, Run> = HashMap::new();
        for task in self.readable::<task::Model, _>(&self.db, unfinished, "sexton_task", "id").await? {
            if let Some(due_at) = task.due_at {
                runs.entry(due_at).or_default().task = Some(task);
            }
        }
        let decided = self.about("x.*", &decided, (schedule, &task), at);
        for attempt in self.readable::<history::Model, _>(&self.db, decided, "sexton_history", "id").await? {
            if let Some(due_at) = attempt.due_at {
                let run = runs.entry(due_at).or_default();
                run.began_at = run.began_at.or(attempt.started_at);
                // The latest counts.
                run.attempt = Some(attempt);
            }
        }
        Ok(runs)
    }

    /// The rows of a table `x` that are joined with an instant `d`. The instant travels as a row of JSON, in the text form
    /// of the tables: SQLite compares instants as text, and a plain parameter would have another form.
    fn about(&self, columns: &str, join: &str, (schedule, task): (&str, &str), at: DateTime<Utc>) -> Statement {
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("schedule", schedule)
                .set("task", task)
                .at("due_at", at)
                .at("finished_from", at.checked_sub_signed(SLACK));
        });
        let sql = format!("SELECT {columns} FROM {} JOIN {join}", self.dialect.rows("d", &INSTANT));
        self.statement(&sql, [rows.into_value()])
    }
}
