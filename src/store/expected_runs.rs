//! Runs that are expected: what is known of the schedules with `expect`, and which of them are overdue.
//!
//! A node that has a schedule calculates by when its next success is expected, and enters that in the row. Every node finds
//! by the rows which schedules are overdue, also those that only other nodes have.

use chrono::{DateTime, Utc};
use sea_orm::{QueryResult, Value};
use sexton_entities::states::ProblemKind;

use super::{Store, StoreError, connection::DatabaseTransaction, dialect::Kind, row_decoding::instant, rows::Rows};
use crate::domain::{
    problem::Sighting,
    schedule::overdue::{ExpectedRun, ScheduleProgress},
};

const EXPECT: [(&str, Kind); 2] = [("name", Kind::Text), ("expect", Kind::Text)];
const CALCULATED: [(&str, Kind); 3] =
    [("name", Kind::Text), ("expected_by", Kind::Instant), ("succeeded_at", Kind::Instant)];

/// The successes of schedule `s` since the latest that its row knows.
const NEWER_SUCCESS: &str = "FROM sexton_history h WHERE h.name = s.task AND h.schedule = s.name \
                             AND h.outcome = 'succeeded' AND h.finished_at > COALESCE(s.succeeded_at, s.created_at)";

impl Store {
    /// Enters what the configuration of a node expects of its schedules, by their names; and forgets what it expected of
    /// schedules that it does not have any more.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn sync_expectations(&self, node: &str, own: &[(String, Option<String>)]) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        for (name, expect) in own {
            rows.push(|row| {
                row.set("name", name.clone()).set("expect", expect.clone());
            });
        }
        let rows = rows.into_value();
        let source = self.dialect.rows("d", &EXPECT);
        let text = self.dialect.text_parameter();
        // The row knows its latest success: what is calculated from now on begins there.
        let sets = [("expect", "d.expect"), ("expected_by", "NULL"), ("expected_on", text)];
        let on = format!("t.name = d.name AND NOT {}", self.dialect.same("t.expect", "d.expect"));
        let set = self.dialect.update_joined("sexton_schedule", &sets, &source, &on);
        let forget = format!(
            "UPDATE sexton_schedule SET expect = NULL, expected_by = NULL, expected_on = NULL \
             WHERE expected_on = ? AND name NOT IN (SELECT d.name FROM {source})"
        );
        self.with_retries(async || {
            self.run(&self.db, &set, self.dialect.joined_values([node.into()], rows.clone())).await?;
            self.run(&self.db, &forget, [node.into(), rows.clone()]).await.map(|_| ())
        })
        .await
    }

    /// The schedules of which a success is expected. Successes that ended before `since` are not searched for.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn expected_runs(&self, since: Option<DateTime<Utc>>) -> Result<Vec<ExpectedRun>, StoreError> {
        let mut newer = NEWER_SUCCESS.to_owned();
        if since.is_some() {
            newer += &format!(" AND h.finished_at >= {}", self.dialect.instant_parameter());
        }
        let since = since.map(|since| self.dialect.instant(since));
        let sql = format!(
            "SELECT s.name AS name, s.task AS task, s.expect AS expect, s.paused AS paused, s.created_at AS created_at, \
             s.succeeded_at AS succeeded_at, s.excused_until AS excused_until, s.expected_by AS expected_by, \
             (SELECT MAX(h.finished_at) {newer}) AS newer, (SELECT MAX(h.due_at) {newer}) AS newer_due \
             FROM sexton_schedule s WHERE s.expect IS NOT NULL AND s.removed_at IS NULL ORDER BY s.name"
        );
        let values: Vec<Value> = [since.clone(), since].into_iter().flatten().map(Value::from).collect();
        let rows = self.all(&self.db, &sql, values).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let name: String = row.try_get("", "name")?;
            let what = format!("what is expected of schedule {name}");
            found.extend(self.isolated().part(what.as_str(), expected_run(row, name).map(Some))?);
        }
        Ok(found)
    }

    /// Enters by when the next successes are expected, and the successes from which that was calculated.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_expected_by(&self, calculated: &[ExpectedRun]) -> Result<(), StoreError> {
        if calculated.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(self.dialect);
        for run in calculated {
            rows.push(|row| {
                row.set("name", run.schedule.clone())
                    .at("expected_by", run.expected_by)
                    .at("succeeded_at", run.progress.succeeded_at);
            });
        }
        let sets = [("expected_by", "d.expected_by"), ("succeeded_at", "d.succeeded_at")];
        let on = "t.name = d.name AND t.expect IS NOT NULL";
        let sql = self.dialect.update_joined("sexton_schedule", &sets, &self.dialect.rows("d", &CALCULATED), on);
        let rows = rows.into_value();
        self.with_retries(async || self.run(&self.db, &sql, [rows.clone()]).await.map(|_| ())).await
    }

    /// Opens the problem that a schedule is overdue, unless it is open, or a success is recorded that `run` does not know: of
    /// several nodes, one does.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn note_overdue(&self, run: &ExpectedRun, sighting: &Sighting) -> Result<(), StoreError> {
        let lock = format!("SELECT name FROM sexton_schedule WHERE name = ? {}", self.dialect.for_update());
        let succeeded = format!(
            "SELECT s.name AS name FROM sexton_schedule s \
             WHERE s.name = ? AND EXISTS (SELECT 1 {NEWER_SUCCESS} AND h.finished_at > {})",
            self.dialect.instant_parameter()
        );
        let name = || Value::from(sighting.name.as_str());
        let known = run.progress_now().succeeded_at.unwrap_or(run.progress.created_at);
        self.with_retries(async || {
            let transaction = self.begin().await?;
            self.all(&transaction, &lock, [name()]).await?;
            let newer = [name(), self.dialect.instant(known).into()];
            if self.all(&transaction, &succeeded, newer).await?.is_empty() {
                self.open_overdue(&transaction, sighting, None).await?;
            }
            self.commit(transaction).await
        })
        .await
    }

    /// Enters a success that came too late, and counts the problem that it ended: of several nodes, one does.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn note_late_success(
        &self,
        run: &ExpectedRun,
        expected_by: Option<DateTime<Utc>>,
        sighting: &Sighting,
    ) -> Result<(), StoreError> {
        let instant = self.dialect.instant_parameter();
        let sql = format!(
            "UPDATE sexton_schedule SET expected_by = {instant}, succeeded_at = {instant} WHERE name = ? AND {}",
            self.dialect.same("succeeded_at", instant)
        );
        let at = |at: Option<DateTime<Utc>>| Value::from(at.map(|at| self.dialect.instant(at)));
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let values = [
                at(expected_by),
                at(run.progress_now().succeeded_at),
                run.schedule.as_str().into(),
                at(run.progress.succeeded_at),
            ];
            if self.run(&transaction, &sql, values).await? == 1 {
                // The notifier may have closed it already.
                self.open_overdue(&transaction, sighting, sighting.first_at).await?;
            }
            self.commit(transaction).await
        })
        .await
    }

    /// Counts the problem, unless one is open, or one that is closed was seen at `since` or later.
    async fn open_overdue(
        &self,
        transaction: &DatabaseTransaction,
        sighting: &Sighting,
        since: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let seen = match since {
            Some(_) => format!("OR seen_at >= {}", self.dialect.instant_parameter()),
            None => String::new(),
        };
        let sql = format!("SELECT id FROM sexton_problem WHERE kind = ? AND name = ? AND (state <> 'closed' {seen})");
        let values: [Value; 2] = [ProblemKind::Overdue.as_str().into(), sighting.name.as_str().into()];
        let values = values.into_iter().chain(since.map(|since| self.dialect.instant(since).into()));
        if self.all(transaction, &sql, values).await?.is_empty() {
            self.count_problems(transaction, std::slice::from_ref(sighting)).await?;
        }
        Ok(())
    }
}

fn expected_run(row: &QueryResult, schedule: String) -> Result<ExpectedRun, StoreError> {
    let at = |column: &str| instant(row, column).map_err(|unreadable| StoreError::Unreadable(unreadable.0));
    let newer_success =
        at("newer")?.map(|finished| at("newer_due").map(|due| due.map_or(finished, |due| due.max(finished))));
    Ok(ExpectedRun {
        schedule,
        task: row.try_get("", "task")?,
        expect: row.try_get("", "expect")?,
        paused: row.try_get("", "paused")?,
        progress: ScheduleProgress {
            created_at: at("created_at")?.unwrap_or_default(),
            succeeded_at: at("succeeded_at")?,
            excused_until: at("excused_until")?,
        },
        expected_by: at("expected_by")?,
        newer_success: newer_success.transpose()?,
    })
}
