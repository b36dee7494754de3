//! Retention: old history, occurrences, audit and schedules are deleted, in batches that do not block other work.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{Operation, Store, StoreError, claim::ID_COLUMN, row_decoding::instant};

/// The number of rows that one transaction deletes.
const BATCH_SIZE: usize = 1_000;
/// Events stay while their files do.
const EVENTS: &str = "sexton_event";
/// The table of which sums are kept.
const HISTORY: &str = "sexton_history";

impl Store {
    /// Deletes history with its output, occurrences, closed problems, unusual runs and audit that are older than `keep`,
    /// and the record of nodes that died longer than a day ago. Returns the number of history rows. `goes_on`
    /// is called after each batch with the time that it took, and says whether another one follows.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn prune(&self, keep: Duration, goes_on: impl AsyncFn(Duration) -> bool) -> Result<u64, StoreError> {
        let age = age(keep);
        let history = [("sexton_output", "history_id"), (HISTORY, "id")];
        let pruned = self.prune_batches((HISTORY, "finished_at"), &history, age, &goes_on).await?;
        self.prune_batches(("sexton_audit", "done_at"), &[("sexton_audit", "id")], age, &goes_on).await?;
        let before = self.dialect.now_plus_millis("?");
        let sql = format!("DELETE FROM sexton_occurrence WHERE entered_at < {before}");
        self.with_retries(async || self.run(&self.db, &sql, [age.into()]).await).await?;
        self.prune_dependencies().await?;
        self.forget_dead_nodes().await?;
        self.prune_problems(age).await?;
        self.prune_unusual(age).await?;
        self.prune_notices(age).await?;
        Ok(pruned)
    }

    /// Deletes what tasks waited for that are neither unfinished nor in the history.
    async fn prune_dependencies(&self) -> Result<(), StoreError> {
        let gone = "NOT EXISTS (SELECT 1 FROM sexton_task t WHERE t.id = w.task_id) \
                    AND NOT EXISTS (SELECT 1 FROM sexton_history h WHERE h.task_id = w.task_id)";
        let find = format!(
            "SELECT w.id FROM sexton_task_dependency w WHERE w.id > ? AND {gone} ORDER BY w.id LIMIT {BATCH_SIZE}"
        );
        let rows = self.dialect.rows("d", &ID_COLUMN);
        let delete = self.dialect.delete_joined("sexton_task_dependency", "id", &rows, "t.id = d.id");
        let mut after = i64::MIN;
        loop {
            let found = self.all(&self.db, &find, [after.into()]).await?;
            let ids = found.iter().map(|row| Ok(row.try_get("", "id")?)).collect::<Result<Vec<i64>, StoreError>>()?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = *last;
            self.with_retries(async || self.run(&self.db, &delete, [self.ids(ids.iter().copied())]).await).await?;
        }
    }

    /// Deletes events with what became of them that are older than `keep` and whose file was not seen since, and triggers of nodes that have been away for
    /// longer. Returns the number of events.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn prune_events(
        &self,
        keep: Duration,
        goes_on: impl AsyncFn(Duration) -> bool,
    ) -> Result<u64, StoreError> {
        let tables = [("sexton_event_trigger", "event_id"), ("sexton_event", "id")];
        let pruned = self.prune_batches((EVENTS, "created_at"), &tables, age(keep), &goes_on).await?;
        self.prune_triggers(age(keep).into()).await?;
        Ok(pruned)
    }

    async fn prune_batches(
        &self,
        old: (&str, &str),
        tables: &[(&str, &str)],
        age: i64,
        goes_on: &impl AsyncFn(Duration) -> bool,
    ) -> Result<u64, StoreError> {
        let (mut pruned, mut from) = (0, None);
        loop {
            let begun = Instant::now();
            let pruning = self.with_retries(async || self.prune_batch(old, tables, age, from).await);
            let (batch, latest) = self.timed(Operation::Prune, pruning).await?;
            pruned += batch as u64;
            // A server need not read what the batch before has deleted. SQLite compares texts, which others may have written.
            from = latest.filter(|_| self.dialect.has_server()).or(from);
            if batch < BATCH_SIZE || !goes_on(begun.elapsed()).await {
                return Ok(pruned);
            }
        }
    }

    /// Deletes configured schedules that no node has fired for `keep`, or marks them as removed if they are paused. The
    /// node's `own` schedules stay: after a downtime, they need to know which instants have been dealt with.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn prune_schedules(&self, keep: Duration, own: &HashSet<&str>) -> Result<(), StoreError> {
        let old = format!("origin = 'config' AND next_at < {}", self.dialect.now_plus_millis("?"));
        let age = age(keep);
        let rows = self.all(&self.db, &format!("SELECT name FROM sexton_schedule WHERE {old}"), [age.into()]).await?;
        for row in rows {
            let name: String = row.try_get("", "name")?;
            if !own.contains(name.as_str()) {
                self.forget_schedule(&name, &format!("AND {old}"), &[age.into()]).await?;
            }
        }
        Ok(())
    }

    /// Deletes all tasks and all history of one task name, for benchmarks.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn erase(&self, name: &str) -> Result<(), StoreError> {
        self.with_retries(async || {
            self.run(&self.db, "DELETE FROM sexton_task WHERE name = ?", [name.into()]).await?;
            self.run(&self.db, "DELETE FROM sexton_history WHERE name = ?", [name.into()]).await.map(|_| ())
        })
        .await
    }

    /// Deletes the oldest rows of `old` from these tables, by a key that has their number; those before `from` are not searched.
    /// Returns the number of rows, and the instant of the last one.
    async fn prune_batch(
        &self,
        (old, column): (&str, &str),
        tables: &[(&str, &str)],
        age: i64,
        from: Option<DateTime<Utc>>,
    ) -> Result<(usize, Option<DateTime<Utc>>), StoreError> {
        let before = self.dialect.now_plus_millis("?");
        let (mut condition, mut values) = match old {
            EVENTS => (format!(" AND COALESCE(seen_at, created_at) < {before}"), vec![age.into(); 2]),
            _ => (String::new(), vec![age.into()]),
        };
        if let Some(from) = from {
            condition += &format!(" AND {column} >= {}", self.dialect.instant_parameter());
            values.push(self.dialect.instant(from).into());
        }
        let sql = format!(
            "SELECT id, {column} AS at FROM {old} WHERE {column} < {before}{condition} ORDER BY {column} LIMIT {BATCH_SIZE}"
        );
        let rows = self.all(&self.db, &sql, values).await?;
        let ids = rows.iter().map(|row| Ok(row.try_get::<i64>("", "id")?)).collect::<Result<Vec<_>, StoreError>>()?;
        if !ids.is_empty() {
            let transaction = self.begin().await?;
            if old == HISTORY {
                self.keep_daily(&transaction, &ids).await?;
            }
            let rows = self.dialect.rows("d", &ID_COLUMN);
            for (table, key) in tables {
                let sql = self.dialect.delete_joined(table, key, &rows, &format!("t.{key} = d.id"));
                self.run(&transaction, &sql, [self.ids(ids.iter().copied())]).await?;
            }
            self.commit(transaction).await?;
        }
        Ok((ids.len(), rows.last().and_then(|row| instant(row, "at").ok().flatten())))
    }
}

/// The milliseconds from now back by that length, as a negative number.
fn age(keep: Duration) -> i64 {
    i64::try_from(keep.as_millis()).map_or(i64::MIN, |millis| -millis)
}
