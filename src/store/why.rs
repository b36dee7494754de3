//! What is on record of one instant of a schedule.

use chrono::{DateTime, Utc};
use sea_orm::{EntityTrait, Statement};
use sexton_entities::{history, occurrence, schedule, task};

use super::{Store, StoreError, dialect::Kind, rows::Rows};

const INSTANT: [(&str, Kind); 2] = [("schedule", Kind::Text), ("due_at", Kind::Instant)];

impl Store {
    /// A schedule.
    pub async fn schedule(&self, name: &str) -> Result<Option<schedule::Model>, StoreError> {
        Ok(schedule::Entity::find_by_id(name).one(&self.db).await?)
    }

    /// The entry of an instant in the ledger, and the next one after it.
    pub async fn occurrences_from(
        &self,
        schedule: &str,
        at: DateTime<Utc>,
    ) -> Result<(Option<occurrence::Model>, Option<occurrence::Model>), StoreError> {
        let find = async |sign: &str| {
            let on = format!("sexton_occurrence x ON x.schedule = d.schedule AND x.due_at {sign} d.due_at");
            let statement = self.about(&format!("{on} ORDER BY x.due_at LIMIT 1"), schedule, at);
            occurrence::Entity::find().from_raw_sql(statement).one(&self.db).await
        };
        Ok((find("=").await?, find(">").await?))
    }

    /// The task of an instant, if it is not finished, and the latest attempt at it that decided something.
    pub async fn run_of(
        &self,
        schedule: &str,
        at: DateTime<Utc>,
    ) -> Result<(Option<task::Model>, Option<history::Model>), StoreError> {
        let own = "x.schedule = d.schedule AND x.due_at = d.due_at";
        let unfinished = self.about(&format!("sexton_task x ON {own}"), schedule, at);
        // A schedule carries the name of its task: history has an index on that.
        let run = format!(
            "sexton_history x ON x.name = d.schedule AND {own} WHERE x.verdict IS NOT NULL ORDER BY x.id DESC LIMIT 1"
        );
        let unfinished = task::Entity::find().from_raw_sql(unfinished).one(&self.db).await?;
        let run = self.about(&run, schedule, at);
        Ok((unfinished, history::Entity::find().from_raw_sql(run).one(&self.db).await?))
    }

    /// The rows of a table `x` that have to do with an instant `d`. Instants are compared in the one shape that the
    /// tables have: as a plain parameter, SQLite would see another text.
    fn about(&self, join: &str, schedule: &str, at: DateTime<Utc>) -> Statement {
        let mut rows = Rows::new(self.dialect);
        rows.push(|row| {
            row.set("schedule", schedule).at("due_at", at);
        });
        let sql = format!("SELECT x.* FROM {} JOIN {join}", self.dialect.rows("d", &INSTANT));
        self.statement(&sql, [rows.into_value()])
    }
}
