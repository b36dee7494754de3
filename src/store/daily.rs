//! Statistics: sums for each day, of the history and of what was pruned from it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryResult, QueryTrait as _, Value};
use sexton_entities::{daily, states::Outcome};

use super::{
    Store, StoreError, claim::ID_COLUMN, connection::DatabaseTransaction, dialect::Kind, row_decoding::instant,
    rows::Rows,
};
use crate::domain::statistics::{CountedRun, DayAndName, Sums, by_day, day};

const COLUMNS: [(&str, Kind); 8] = [
    ("day", Kind::Text),
    ("name", Kind::Text),
    ("runs", Kind::Integer),
    ("failed", Kind::Integer),
    ("duration_ms", Kind::Integer),
    ("longest_ms", Kind::Integer),
    ("scheduled", Kind::Integer),
    ("delay_ms", Kind::Integer),
];
/// What one statement reads of the history.
const PAGE: i64 = 20_000;
/// The columns of an attempt that count.
const RUN: &str = "t.id, t.name, t.finished_at, t.outcome, t.duration_ms, t.started_at, t.due_at, t.attempt";

/// The attempts of one task definition on one day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DayFigures {
    /// All of them.
    pub sums: Sums,
    /// The durations of those that the history still has, in milliseconds.
    pub durations: Vec<i64>,
}

impl Store {
    /// Adds rows of the history to the sums of their days, in the transaction that deletes them. Rows that another node
    /// deletes at the same time are in its sums.
    pub(super) async fn keep_daily(&self, transaction: &DatabaseTransaction, ids: &[i64]) -> Result<(), StoreError> {
        let locks = self.dialect.for_update();
        let rows = self.dialect.rows_beside_locks("d", &ID_COLUMN);
        let sql = format!("SELECT {RUN} FROM {rows} JOIN sexton_history t ON t.id = d.id ORDER BY t.id {locks}");
        let found = self.all(transaction, &sql, [self.ids(ids.iter().copied())]).await?;
        let runs: Vec<CountedRun> = found.iter().filter_map(run_of).collect();
        let sums = by_day(&runs);
        if sums.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(self.dialect);
        for ((day, name), sums) in sums {
            rows.push(|row| {
                row.set("day", day)
                    .set("name", name)
                    .set("runs", sums.runs)
                    .set("failed", sums.failed)
                    .set("duration_ms", sums.duration_ms)
                    .set("longest_ms", sums.longest_ms)
                    .set("scheduled", sums.scheduled)
                    .set("delay_ms", sums.delay_ms);
            });
        }
        let new = |column: &str| self.dialect.proposed(column);
        let old = |column: &str| format!("sexton_daily.{column}");
        let sum = |column: &'static str| (column, format!("{} + {}", old(column), new(column)));
        let (longest, before) = (new("longest_ms"), old("longest_ms"));
        let longest = format!("CASE WHEN {longest} > {before} THEN {longest} ELSE {before} END");
        let sets = [
            sum("runs"),
            sum("failed"),
            sum("duration_ms"),
            ("longest_ms", longest),
            sum("scheduled"),
            sum("delay_ms"),
        ];
        let names = COLUMNS.map(|(name, _)| name);
        let sql = self.dialect.upsert(
            ("sexton_daily", "day, name"),
            &names.join(", "),
            &format!(
                "SELECT {} FROM {}",
                names.map(|name| format!("d.{name}")).join(", "),
                self.dialect.rows("d", &COLUMNS)
            ),
            &sets,
        );
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// The attempts since an instant, for each day in UTC and task definition; only of one definition, if its name is
    /// given. Of days that were pruned, only sums are left.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn daily_figures(
        &self,
        since: DateTime<Utc>,
        name: Option<&str>,
    ) -> Result<BTreeMap<DayAndName, DayFigures>, StoreError> {
        let mut figures: BTreeMap<DayAndName, DayFigures> = BTreeMap::new();
        // Before the history: what is pruned meanwhile is missed rather than counted twice.
        let mut query = daily::Entity::find().filter(daily::Column::Day.gte(day(since)));
        if let Some(name) = name {
            query = query.filter(daily::Column::Name.eq(name));
        }
        let rows: Vec<daily::Model> =
            self.readable(&self.db, query.build(self.backend()), "sexton_daily", "name").await?;
        for row in rows {
            let sums = Sums {
                runs: row.runs,
                failed: row.failed,
                duration_ms: row.duration_ms,
                longest_ms: row.longest_ms,
                scheduled: row.scheduled,
                delay_ms: row.delay_ms,
            };
            figures.entry((row.day, row.name)).or_default().sums = sums;
        }
        let mut last = 0_i64;
        loop {
            let of_task = if name.is_some() { "AND t.name = ?" } else { "" };
            let since_word = self.dialect.instant_parameter();
            let sql = format!(
                "SELECT {RUN} FROM sexton_history t WHERE t.finished_at >= {since_word} AND t.id > ? {of_task} \
                 ORDER BY t.id LIMIT {PAGE}"
            );
            let values = [Value::from(self.dialect.instant(since)), last.into()];
            let rows = self.all(&self.db, &sql, values.into_iter().chain(name.map(Value::from))).await?;
            for row in &rows {
                last = row.try_get("", "id")?;
                let Some(run) = run_of(row) else { continue };
                let Some(sums) = Sums::of(&run) else { continue };
                let entry = figures.entry((day(run.finished_at), run.name)).or_default();
                entry.sums = entry.sums.with(sums);
                entry.durations.extend(run.duration_ms);
            }
            if (rows.len() as i64) < PAGE {
                return Ok(figures);
            }
        }
    }
}

/// An attempt, as far as it counts; none if it cannot be read.
fn run_of(row: &QueryResult) -> Option<CountedRun> {
    let finished_at = instant(row, "finished_at").ok()??;
    let outcome = Outcome::from_word(&row.try_get::<String>("", "outcome").ok()?)?;
    let is_first = row.try_get::<i32>("", "attempt").ok()? == 1;
    let due = instant(row, "due_at").ok().flatten().filter(|_| is_first);
    let started = instant(row, "started_at").ok().flatten();
    let delay = due.zip(started).map(|(due, started)| (started - due).num_milliseconds());
    Some(CountedRun {
        name: row.try_get("", "name").ok()?,
        finished_at,
        outcome,
        duration_ms: row.try_get("", "duration_ms").ok()?,
        delay_ms: delay,
    })
}
