//! Baselines: what is usual for task definitions is learned from the history, in the background and once in the cluster.
//!
//! A bookmark says how far the history has been read. The node that moves it learns what lies between, in the same
//! transaction.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{QueryResult, Value};
use sexton_entities::{
    states::{Outcome, ProblemKind, Unusual},
    unusual,
};

use super::{
    Store, StoreError,
    claim::ID_COLUMN,
    connection::DatabaseTransaction,
    dialect::Kind,
    row_decoding::{existing_instant, instant},
    rows::Rows,
};
use crate::domain::{
    baseline::{JudgedRun, KEPT, RunFigures, TaskBaseline, UnusualFigure, problem_kind},
    problem::{Sighting, one_each},
    statistics::{DayAndName, day},
};

/// The name of the bookmark.
const BOOKMARK: &str = "baselines";
/// Maximum number of rows of the history that one round reads. Of more, the latest count.
const PAGE: i64 = 5_000;
/// Maximum number of task definitions.
const MAX_NAMES: usize = 1_000;
/// A baseline of which nothing was learned for this long is forgotten.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(90);
const NAME: [(&str, Kind); 1] = [("name", Kind::Text)];
const BASELINE: [(&str, Kind); 2] = [("name", Kind::Text), ("figures", Kind::Text)];
const FOUND: [(&str, Kind); 6] = [
    ("history_id", Kind::Integer),
    ("what", Kind::Text),
    ("name", Kind::Text),
    ("value", Kind::Integer),
    ("usual", Kind::Integer),
    ("finished_at", Kind::Instant),
];
/// The columns of a run.
const RUN: &str = "h.id, h.name, h.queue, h.schedule, h.node, h.task_id, h.fence, h.finished_at, h.duration_ms, \
                   h.output_bytes, h.started_at, h.due_at, h.attempt, h.outcome";

/// Whether somebody wants to hear of unusual runs of a task in a queue.
pub(super) type IsWanted<'a> = &'a dyn Fn(&str, Option<&str>, ProblemKind) -> bool;

impl Store {
    /// The number of the latest row of the history; 0 without any.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn last_history_id(&self) -> Result<i64, StoreError> {
        let row = self.one(&self.db, "SELECT COALESCE(MAX(id), 0) AS id FROM sexton_history", []).await?;
        Ok(row.try_get("", "id")?)
    }

    /// Learns from the history up to the row `to`, and judges the successes on the way. Problems are opened only where
    /// they are wanted. Returns the number of rows; none if another node has read them.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn learn_baselines(&self, to: i64, is_wanted: IsWanted<'_>) -> Result<usize, StoreError> {
        let known = self.dialect.insert_new(
            "sexton_bookmark (name)",
            &format!("SELECT {} FROM (SELECT 1 AS x) one", self.dialect.text_parameter()),
        );
        let find = "SELECT position FROM sexton_bookmark WHERE name = ?";
        let rows = self.all(&self.db, find, [BOOKMARK.into()]).await?;
        let from: i64 = match rows.first() {
            Some(row) => row.try_get("", "position")?,
            None => {
                self.run(&self.db, &known, [BOOKMARK.into()]).await?;
                0
            }
        };
        if to <= from {
            return Ok(0);
        }
        let first = from.max(to - PAGE);
        let read = format!("SELECT {RUN} FROM sexton_history h WHERE h.id > ? AND h.id <= ? ORDER BY h.id");
        let rows = self.all(&self.db, &read, [first.into(), to.into()]).await?;
        let runs: Vec<JudgedRun> = rows.iter().filter_map(success).collect();
        let mut baselines = self.baselines_of(&runs, first).await?;
        let mut found: Vec<(&JudgedRun, UnusualFigure)> = Vec::new();
        let mut latest: BTreeMap<&str, (&JudgedRun, Vec<UnusualFigure>)> = BTreeMap::new();
        for run in &runs {
            let Some(baseline) = baselines.get_mut(&run.name) else { continue };
            let findings = baseline.judge(run.figures);
            baseline.learn(run.figures);
            found.extend(findings.iter().map(|finding| (run, *finding)));
            latest.insert(&run.name, (run, findings));
        }
        let advance = "UPDATE sexton_bookmark SET position = ? WHERE name = ? AND position = ?";
        self.with_retries(async || {
            let transaction = self.begin().await?;
            // It locks the bookmark: another node waits, and finds that it has moved.
            if self.run(&transaction, advance, [to.into(), BOOKMARK.into(), from.into()]).await? == 0 {
                return Ok(0);
            }
            self.keep_baselines(&transaction, &baselines).await?;
            self.keep_unusual(&transaction, &found).await?;
            self.note_unusual(&transaction, latest.values(), is_wanted).await?;
            self.commit(transaction).await?;
            Ok(rows.len())
        })
        .await
    }

    /// The baselines of the task definitions of these runs. A new one begins with the successes before the row `first`.
    async fn baselines_of(&self, runs: &[JudgedRun], first: i64) -> Result<HashMap<String, TaskBaseline>, StoreError> {
        let mut names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut baselines = self.baselines(&names).await?;
        let count = self.one(&self.db, "SELECT COUNT(*) AS names FROM sexton_baseline", []).await?;
        let room = MAX_NAMES.saturating_sub(usize::try_from(count.try_get::<i64>("", "names")?).unwrap_or_default());
        let before = format!(
            "SELECT {RUN} FROM sexton_history h WHERE h.name = ? AND h.outcome = 'succeeded' AND h.id <= ? \
             ORDER BY h.finished_at DESC LIMIT {KEPT}"
        );
        let new: Vec<&str> = names.into_iter().filter(|name| !baselines.contains_key(*name)).take(room).collect();
        for name in new {
            let rows = self.all(&self.db, &before, [name.into(), first.into()]).await?;
            let mut baseline = TaskBaseline::default();
            rows.iter().rev().filter_map(success).for_each(|run| baseline.learn(run.figures));
            baselines.insert(name.to_owned(), baseline);
        }
        Ok(baselines)
    }

    /// What is usual for these task definitions, as far as something was learned.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn baselines(&self, names: &[&str]) -> Result<HashMap<String, TaskBaseline>, StoreError> {
        let mut rows = Rows::new(self.dialect);
        for name in names {
            rows.push(|row| {
                row.set("name", *name);
            });
        }
        let sql = format!(
            "SELECT b.name AS name, b.figures AS figures FROM {} JOIN sexton_baseline b ON b.name = d.name",
            self.dialect.rows("d", &NAME)
        );
        let rows = self.all(&self.db, &sql, [rows.into_value()]).await?;
        // What cannot be read is learned again.
        let baseline = |row: &QueryResult| {
            let figures: String = row.try_get("", "figures")?;
            Ok((row.try_get("", "name")?, serde_json::from_str(&figures).unwrap_or_default()))
        };
        rows.iter().map(baseline).collect()
    }

    async fn keep_baselines(
        &self,
        transaction: &DatabaseTransaction,
        baselines: &HashMap<String, TaskBaseline>,
    ) -> Result<(), StoreError> {
        let mut sorted: Vec<_> = baselines.iter().collect();
        sorted.sort_by_key(|(name, _)| *name);
        let mut rows = Rows::new(self.dialect);
        for (name, baseline) in sorted {
            rows.push(|row| {
                row.set("name", name.clone()).set("figures", serde_json::to_string(baseline).unwrap_or_default());
            });
        }
        let sql = self.dialect.upsert(
            ("sexton_baseline", "name"),
            "name, figures",
            &format!("SELECT d.name, d.figures FROM {}", self.dialect.rows("d", &BASELINE)),
            &[("figures", self.dialect.proposed("figures")), ("learned_at", self.dialect.now().to_owned())],
        );
        self.run(transaction, &sql, [rows.into_value()]).await?;
        let before = self.dialect.now_plus_millis("?");
        let sql = format!("DELETE FROM sexton_baseline WHERE learned_at < {before}");
        self.run(transaction, &sql, [(-FORGOTTEN_AFTER.num_milliseconds()).into()]).await.map(|_| ())
    }

    async fn keep_unusual(
        &self,
        transaction: &DatabaseTransaction,
        found: &[(&JudgedRun, UnusualFigure)],
    ) -> Result<(), StoreError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(self.dialect);
        for (run, finding) in found {
            rows.push(|row| {
                row.set("history_id", run.history_id)
                    .set("what", finding.what.as_str())
                    .set("name", run.name.clone())
                    .set("value", finding.value)
                    .set("usual", finding.usual)
                    .at("finished_at", run.finished_at);
            });
        }
        let names = FOUND.map(|(name, _)| name);
        let sql = self.dialect.insert_new(
            &format!("sexton_unusual ({})", names.join(", ")),
            &format!(
                "SELECT {} FROM {}",
                names.map(|name| format!("d.{name}")).join(", "),
                self.dialect.rows("d", &FOUND)
            ),
        );
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// Opens the problems that are wanted, and closes those of tasks whose latest run was as usual.
    async fn note_unusual<'a>(
        &self,
        transaction: &DatabaseTransaction,
        latest: impl Iterator<Item = &'a (&'a JudgedRun, Vec<UnusualFigure>)>,
        is_wanted: IsWanted<'_>,
    ) -> Result<(), StoreError> {
        let close = format!(
            "UPDATE sexton_problem SET state = 'closed', closed_at = {} WHERE kind = ? AND name = ? AND state <> 'closed'",
            self.dialect.now()
        );
        let kinds: Vec<&str> = Unusual::ALL.iter().map(|what| problem_kind(*what).as_str()).collect();
        let open = "SELECT kind, name FROM sexton_problem WHERE state <> 'closed' AND kind IN (?, ?, ?, ?)";
        let open: Vec<(String, String)> = self
            .all(transaction, open, kinds.into_iter().map(Value::from))
            .await?
            .iter()
            .map(|row| Ok((row.try_get("", "kind")?, row.try_get("", "name")?)))
            .collect::<Result<_, StoreError>>()?;
        let mut sightings = Vec::new();
        for (run, findings) in latest {
            for what in Unusual::ALL {
                let kind = problem_kind(*what);
                match findings.iter().find(|finding| finding.what == *what) {
                    Some(finding) if is_wanted(&run.name, run.queue.as_deref(), kind) => {
                        sightings.push(sighting(run, *finding));
                    }
                    Some(_) => {}
                    None if open.iter().any(|(of, name)| of == kind.as_str() && *name == run.name) => {
                        let values: [Value; 2] = [kind.as_str().into(), run.name.as_str().into()];
                        self.run(transaction, &close, values).await?;
                    }
                    None => {}
                }
            }
        }
        self.count_problems(transaction, &one_each(sightings)).await
    }

    /// What was unusual about these rows of the history.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn unusual(&self, history: &[i64]) -> Result<Vec<unusual::Model>, StoreError> {
        if history.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT u.history_id, u.what, u.name, u.value, u.usual, u.finished_at FROM {} \
             JOIN sexton_unusual u ON u.history_id = d.id ORDER BY u.history_id, u.what",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let query = self.statement(&sql, [self.ids(history.iter().copied())]);
        self.readable(&self.db, query, "sexton_unusual", "history_id").await
    }

    /// How many runs since an instant were unusual, for each day in UTC and task definition; only of one definition, if its
    /// name is given.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn unusual_by_day(
        &self,
        since: DateTime<Utc>,
        name: Option<&str>,
    ) -> Result<BTreeMap<DayAndName, i64>, StoreError> {
        let of_task = if name.is_some() { "AND name = ?" } else { "" };
        let sql = format!(
            "SELECT DISTINCT history_id, name, finished_at FROM sexton_unusual WHERE finished_at >= {} {of_task}",
            self.dialect.instant_parameter()
        );
        let values = [Value::from(self.dialect.instant(since))];
        let rows = self.all(&self.db, &sql, values.into_iter().chain(name.map(Value::from))).await?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            if let Ok(at) = existing_instant(row, "finished_at") {
                *counts.entry((day(at), row.try_get("", "name")?)).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Deletes what is known of runs that ended longer ago than `age_ms`.
    pub(super) async fn prune_unusual(&self, age_ms: i64) -> Result<(), StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let sql = format!("DELETE FROM sexton_unusual WHERE finished_at < {before}");
        self.with_retries(async || self.run(&self.db, &sql, [age_ms.into()]).await).await.map(|_| ())
    }
}

/// A row of the history that succeeded; none for others, and for those that cannot be read.
fn success(row: &QueryResult) -> Option<JudgedRun> {
    let outcome: String = row.try_get("", "outcome").ok()?;
    if outcome != Outcome::Succeeded.as_str() {
        return None;
    }
    let at = |column| instant(row, column).ok().flatten();
    // The delay of a further attempt is that of its retry.
    let is_first = row.try_get::<i32>("", "attempt").is_ok_and(|attempt| attempt <= 1);
    let delay =
        at("started_at").zip(at("due_at")).filter(|_| is_first).map(|(start, due)| (start - due).num_milliseconds());
    Some(JudgedRun {
        history_id: row.try_get("", "id").ok()?,
        name: row.try_get("", "name").ok()?,
        queue: row.try_get("", "queue").ok()?,
        schedule: row.try_get("", "schedule").ok()?,
        node: row.try_get("", "node").ok()?,
        task_id: row.try_get("", "task_id").ok()?,
        fence: row.try_get("", "fence").ok()?,
        finished_at: existing_instant(row, "finished_at").ok()?,
        figures: RunFigures {
            duration_ms: row.try_get("", "duration_ms").ok()?,
            delay_ms: delay,
            output_bytes: row.try_get("", "output_bytes").ok()?,
        },
    })
}

fn sighting(run: &JudgedRun, finding: UnusualFigure) -> Sighting {
    Sighting {
        first_at: Some(run.finished_at),
        last_at: Some(run.finished_at),
        task: Some(run.name.clone()),
        schedule: run.schedule.clone(),
        queue: run.queue.clone(),
        node: run.node.clone(),
        task_id: run.task_id,
        fence: Some(run.fence),
        ..Sighting::now(problem_kind(finding.what), run.name.clone(), finding.to_string())
    }
}
