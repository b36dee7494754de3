//! Claims within limits that hold in the whole cluster: the `limit` of a queue, the `max_parallel` of a task, the `rate` of both,
//! and schedules whose runs wait for each other.
//!
//! Such claims take turns at a row of `sexton_turn`: the claim that holds it sees what all claims before it have taken.
//! Galera does not lock rows on other nodes, but there the same change of one row makes one of two commits fail.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{QueryResult, Value};

use super::{
    Operation, Store, StoreError,
    claim::ID_COLUMN,
    claim_result::ClaimResult,
    connection::DatabaseTransaction,
    dialect::{Dialect, Kind},
    limit_keys::NAME_AND_KEY,
    rates::Buckets,
    rows::Rows,
};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::{
        ClaimedTask,
        limits::{Candidate, ClusterState, ConcurrencyLimits, Exclusions},
        names::TaskNames,
    },
};

const NAME_COLUMN: [(&str, Kind); 1] = [("name", Kind::Text)];
/// The turn of all tasks with a limit. One turn for all of them rules out deadlocks between two claims.
const TASKS_TURN: &str = "tasks";

impl Store {
    /// Like [`Store::claim`], but keeps within the cluster's limits. Tasks over a limit stay where they are, and the
    /// claim continues with the tasks after them.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn claim_within(
        &self,
        limits: &ConcurrencyLimits,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
    ) -> Result<ClaimResult, StoreError> {
        self.claim_where_within(limits, None, node, queue, count).await
    }

    /// As [`Store::claim_within`], of tasks of `known` names only.
    ///
    /// # Errors
    /// As [`Store::claim_within`].
    pub async fn claim_known_within(
        &self,
        limits: &ConcurrencyLimits,
        known: &TaskNames,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
    ) -> Result<ClaimResult, StoreError> {
        self.claim_where_within(limits, Some(known), node, queue, count).await
    }

    async fn claim_where_within(
        &self,
        limits: &ConcurrencyLimits,
        known: Option<&TaskNames>,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
    ) -> Result<ClaimResult, StoreError> {
        match self.timed(Operation::Claim, self.claim_batch_within(limits, known, node, queue, count)).await {
            Err(StoreError::Refused(why)) => {
                self.set_refused_aside(node, queue, count, &why).await?;
                self.claim_batch_within(limits, known, node, queue, count).await
            }
            result => result,
        }
    }

    async fn claim_batch_within(
        &self,
        limits: &ConcurrencyLimits,
        known: Option<&TaskNames>,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
    ) -> Result<ClaimResult, StoreError> {
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let mut remaining = count;
            let rates = limits.rates(queue);
            let mut buckets = self.buckets(&transaction, &rates, node).await?;
            if self.shorten(&transaction, &buckets).await? {
                self.commit(transaction).await?;
                // Another claim follows at once.
                return Ok(ClaimResult { postponed: 1, ..ClaimResult::default() });
            }
            if buckets.of_queue() == Some(0) {
                return Ok(nothing(&buckets, &Exclusions::default()));
            }
            let is_fair = limits.keys().is_fair(queue);
            if let Some(limit) = limits.queue_limit(queue) {
                // Checked before the turn is taken: without room the claim waits for no other claim and writes nothing.
                if self.running_in(&transaction, queue).await? >= limit {
                    return Ok(ClaimResult::default());
                }
                self.take_turn(&transaction, &format!("queue {queue}")).await?;
                remaining = remaining.min(limit.saturating_sub(self.running_in(&transaction, queue).await?));
            }
            let is_ordered = is_fair || limits.aging(queue).is_some();
            if (limits.has_queue_rate(queue) || is_ordered) && limits.queue_limit(queue).is_none() {
                self.take_turn(&transaction, &format!("queue {queue}")).await?;
            }
            if limits.has_queue_rate(queue) {
                buckets = self.buckets(&transaction, &rates, node).await?;
                remaining = remaining.min(buckets.of_queue().unwrap_or_default());
            }
            let mut excluded = self.exclusions(&transaction, limits).await?;
            let mut cluster = ClusterState { tokens: buckets.of_tasks(), ..ClusterState::default() };
            excluded.exclude_without_tokens(&cluster);
            let mut has_turn = false;
            let mut latest_key = None;
            let mut found = ClaimResult::default();
            let mut unreadable = Vec::new();
            while remaining > 0 {
                let (mut filter, known_value) = self.known_filter("name", known);
                let (others, other_values) = self.exclusion_filter(&excluded, &found.tasks);
                let (keyed, keyed_value) = self.has_its_key(limits.keys()).unzip();
                filter += &others;
                filter += keyed.as_deref().unwrap_or_default();
                let values: Vec<Value> = known_value.into_iter().chain(other_values).chain(keyed_value).collect();
                let chosen = match (is_fair, limits.aging(queue)) {
                    (true, _) => {
                        let taken = found.tasks.iter().map(|task| task.claim.task_id).collect();
                        let excluded = (&excluded, known);
                        let turn = self.choose_fairly(&transaction, queue, excluded, (&taken, remaining)).await?;
                        latest_key = turn.latest.or(latest_key);
                        Some(turn.ids)
                    }
                    (false, Some(aging)) => {
                        let by_age = (aging, remaining);
                        Some(self.choose_aged(&transaction, (node, queue), by_age, &filter, &values).await?)
                    }
                    (false, None) => None,
                };
                let candidates = match chosen {
                    Some(ids) if ids.is_empty() => break,
                    Some(ids) => {
                        let (of_queue, filter) = self.chosen(&filter);
                        let from = self.candidates_in(&of_queue, &filter);
                        let values = std::iter::once(self.ids(ids)).chain(values);
                        self.lock_from(&transaction, &from, (node, queue), remaining as i64, values).await?
                    }
                    None => self.lock_candidates(&transaction, node, queue, remaining as i64, &filter, values).await?,
                };
                self.postpone(&transaction, &candidates.later).await?;
                found.postponed += candidates.later.len();
                remaining -= candidates.later.len();
                self.set_aside(&transaction, (node, queue), &candidates.unreadable).await?;
                found.postponed += candidates.unreadable.len();
                remaining -= candidates.unreadable.len();
                unreadable.extend(candidates.unreadable);
                let keys = match limits.keys().apply_to(queue) {
                    true => self.keys_of(&transaction, &candidates.tasks).await?,
                    false => HashMap::new(),
                };
                let with_key = |task| candidate(task, &keys);
                let choice: Vec<Candidate<'_>> = candidates.tasks.iter().map(with_key).collect();
                let is_bounded = |name| {
                    limits.max_parallel(name).or(limits.keys().max_parallel(name)).is_some()
                        || limits.has_task_rate(name)
                };
                if !has_turn && choice.iter().any(|candidate| is_bounded(candidate.name)) {
                    self.take_turn(&transaction, TASKS_TURN).await?;
                    has_turn = true;
                    cluster.running = self.running(&transaction).await?;
                    if limits.keys().limited().next().is_some() {
                        self.count_keys(&transaction, &mut cluster).await?;
                    }
                    buckets = self.buckets(&transaction, &rates, node).await?;
                    // The tokens at the instant at which these tasks will have begun, which is before the turn was taken.
                    let first = found.tasks.first().or(candidates.tasks.first());
                    buckets.look_back(first.map(|task| task.started_at));
                    cluster.tokens = buckets.of_tasks();
                }
                cluster.first.extend(self.first_runs(&transaction, limits, &choice).await?);
                let before = excluded.clone();
                let admitted = limits.admit(&choice, &mut cluster, &mut excluded);
                remaining -= admitted.len();
                found
                    .tasks
                    .extend(candidates.tasks.iter().filter(|task| admitted.contains(&task.claim.task_id)).cloned());
                // Nothing was excluded in this round, so the queue has no more candidates.
                if excluded == before {
                    break;
                }
            }
            if found == ClaimResult::default() {
                if let Some(latest) = &latest_key {
                    // The next claim goes on behind the keys that have to wait.
                    self.note_turn(&transaction, queue, latest).await?;
                    self.commit(transaction).await?;
                }
                // Else roll back: a commit would wake all processes that watch the file, for no change.
                return Ok(nothing(&buckets, &excluded));
            }
            self.mark_running(&transaction, node, &mut found.tasks).await?;
            self.take_tokens(&transaction, &mut buckets, node, &found.tasks).await?;
            if let Some(latest) = latest_key {
                self.note_turn(&transaction, queue, &latest).await?;
            }
            self.commit(transaction).await?;
            self.note_set_aside(&unreadable);
            Ok(ClaimResult { tasks: found.tasks, postponed: found.postponed, ..nothing(&buckets, &excluded) })
        })
        .await
    }

    /// Waits until no other claim holds the row, and holds it until the end of the transaction. On SQLite the
    /// transaction itself excludes other claims.
    async fn take_turn(&self, transaction: &DatabaseTransaction, name: &str) -> Result<(), StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let sql = "UPDATE sexton_turn SET turn = turn + 1 WHERE name = ?";
        if self.run(transaction, sql, [name.into()]).await? == 0 {
            let row = self.dialect.insert_new("sexton_turn (name, turn)", "SELECT ?, 1 FROM (SELECT 1 AS x) one");
            if self.run(transaction, &row, [name.into()]).await? == 0 {
                return Err(StoreError::Conflict("another node inserted the same row".to_owned()));
            }
        }
        Ok(())
    }

    async fn running_in(&self, transaction: &DatabaseTransaction, queue: &QueueName) -> Result<usize, StoreError> {
        let sql = "SELECT COUNT(*) AS running FROM sexton_task WHERE queue = ? AND state = 'running'";
        let running: i64 = self.one(transaction, sql, [queue.as_str().into()]).await?.try_get("", "running")?;
        Ok(usize::try_from(running).unwrap_or_default())
    }

    /// Tasks and schedules that the claim skips, because of what runs or waits now. The end of such a run sends a
    /// wake-up.
    async fn exclusions(
        &self,
        transaction: &DatabaseTransaction,
        limits: &ConcurrencyLimits,
    ) -> Result<Exclusions, StoreError> {
        let mut excluded = Exclusions::default();
        if limits.has_task_limits() {
            excluded.tasks = limits.tasks_at_limit(&self.running(transaction).await?);
        }
        if limits.keys().limited().next().is_some() {
            let mut cluster = ClusterState::default();
            self.count_keys(transaction, &mut cluster).await?;
            excluded.keys = limits.keys().at_limit(&cluster.running_keys);
        }
        if limits.has_ordered_schedules() {
            let sql = "SELECT schedule, MIN(id) AS first FROM sexton_task WHERE schedule IS NOT NULL GROUP BY schedule \
                       HAVING SUM(CASE WHEN state = 'available' THEN 0 ELSE 1 END) > 0";
            for row in self.all(transaction, sql, []).await? {
                let schedule: String = row.try_get("", "schedule")?;
                if limits.is_ordered(&schedule) {
                    excluded.exclude_all_but(&schedule, row.try_get("", "first")?);
                }
            }
        }
        Ok(excluded)
    }

    /// The number of running tasks by name. It is exact while the claim has the turn.
    async fn running(&self, transaction: &DatabaseTransaction) -> Result<HashMap<String, usize>, StoreError> {
        let sql = "SELECT name, COUNT(*) AS running FROM sexton_task WHERE state = 'running' GROUP BY name";
        let rows = self.all(transaction, sql, []).await?;
        let count = |row: &QueryResult| Ok((row.try_get("", "name")?, row.try_get::<i64>("", "running")? as usize));
        rows.iter().map(count).collect()
    }

    /// The oldest unfinished run of each schedule whose runs wait for each other.
    async fn first_runs(
        &self,
        transaction: &DatabaseTransaction,
        limits: &ConcurrencyLimits,
        choice: &[Candidate<'_>],
    ) -> Result<HashMap<String, i64>, StoreError> {
        let schedules = choice.iter().filter_map(|candidate| candidate.schedule);
        let in_order: BTreeSet<&str> = schedules.filter(|schedule| limits.is_ordered(schedule)).collect();
        if in_order.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT t.schedule AS name, MIN(t.id) AS first FROM {} JOIN sexton_task t ON t.schedule = d.name \
             GROUP BY t.schedule",
            self.dialect.rows("d", &NAME_COLUMN),
        );
        let rows = self.all(transaction, &sql, [self.names(in_order)]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "first")?))).collect()
    }

    /// The condition that excludes tasks over a limit and tasks that this claim has already, with its parameters.
    fn exclusion_filter(&self, excluded: &Exclusions, taken: &[ClaimedTask]) -> (String, Vec<Value>) {
        let (mut filter, mut values) = (String::new(), Vec::new());
        let others = format!("NOT IN (SELECT d.name FROM {})", self.dialect.rows("d", &NAME_COLUMN));
        let these = format!("IN (SELECT d.id FROM {})", self.dialect.rows("d", &ID_COLUMN));
        if !excluded.tasks.is_empty() {
            filter += &format!(" AND name {others}");
            values.push(self.names(excluded.tasks.iter().map(String::as_str)));
        }
        if !excluded.keys.is_empty() {
            let rows = self.dialect.rows("d", &NAME_AND_KEY);
            filter += &format!(
                " AND (limit_key IS NULL OR (name, limit_key) NOT IN (SELECT d.name, d.limit_key FROM {rows}))"
            );
            let mut rows = Rows::new(self.dialect);
            for (name, key) in &excluded.keys {
                rows.push(|row| {
                    row.set("name", name.as_str()).set("limit_key", key.as_str());
                });
            }
            values.push(rows.into_value());
        }
        if !excluded.schedules.is_empty() {
            filter += &format!(" AND (schedule IS NULL OR schedule {others} OR id {these})");
            values.push(self.names(excluded.schedules.iter().map(String::as_str)));
            values.push(self.ids(excluded.first_runs.iter().copied()));
        }
        if !taken.is_empty() {
            filter += &format!(" AND id NOT {these}");
            values.push(self.ids(taken.iter().map(|task| task.claim.task_id)));
        }
        (filter, values)
    }

    /// Names as one parameter, for a table with [`NAME_COLUMN`].
    pub(super) fn names<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Value {
        let mut rows = Rows::new(self.dialect);
        for name in names {
            rows.push(|row| {
                row.set("name", name);
            });
        }
        rows.into_value()
    }
}

/// A claim that got nothing, with what it says of the buckets.
fn nothing(buckets: &Buckets, excluded: &Exclusions) -> ClaimResult {
    let next_token = buckets.next_token(&excluded.tasks);
    ClaimResult { next_token, stricter: buckets.stricter(), ..ClaimResult::default() }
}

fn candidate<'a>(task: &'a ClaimedTask, keys: &'a HashMap<i64, String>) -> Candidate<'a> {
    let key = keys.get(&task.claim.task_id).map(String::as_str);
    Candidate { id: task.claim.task_id, name: &task.name, schedule: task.schedule.as_deref(), key }
}
