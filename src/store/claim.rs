//! The claim: a node takes tasks. Together with the wake-up, this part differs most between the databases.
//!
//! The statement that claims also checks the node's own lease, so a node that has lost it gets nothing. It sees paused
//! queues, and the pause of everything, at once. Plain SQL may insert a task as `available` with a later `run_at`: the
//! claim moves such a task to `scheduled`, because it would block the front of its queue.

use chrono::{DateTime, Utc};
use sea_orm::Value;

pub(super) use sexton_client::store::rows::ID_COLUMN;

use super::{
    Operation, Store, StoreError,
    claim_result::{ClaimResult, ClaimedRows},
    claimed_task::check_fence,
    connection::DatabaseTransaction,
    dialect::{Dialect, Kind},
    maintenance::nothing_halts,
    rows::Rows,
    unreadable_tasks::UnreadableTask,
};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::{ClaimedTask, claim::Claim, claim_position::ClaimPosition, names::TaskNames},
};

/// Tasks that can be claimed, and tasks that were found too early.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The tasks as they will be once they are marked as running, in the order of their queue.
    pub(super) tasks: Vec<ClaimedTask>,
    /// The tasks that are not due yet.
    pub(super) later: Vec<i64>,
    /// The tasks that cannot be read.
    pub(super) unreadable: Vec<UnreadableTask>,
}

/// In SQL, from where tasks are claimed, and how many at most.
pub(super) struct CandidateQueue<'a> {
    /// The condition for the queue of a task.
    pub(super) condition: &'a str,
    /// The name of the queue.
    pub(super) name: &'a str,
    /// The number of tasks.
    pub(super) count: &'a str,
}

/// The columns of a claimed task besides its payload, in a table or a join where they are unambiguous.
const CLAIMED_COLUMNS: &str = "id, fence, name, attempt, max_attempts, pickups, schedule, due_at, enqueued_at, started_at, snoozes, \
     traceparent, tracestate, predecessors";
const FENCE_COLUMNS: [(&str, Kind); 2] = [("id", Kind::Integer), ("fence", Kind::Integer)];
/// The number of the next attempt. The highest number stays as it is: one task that has it must not stop a claim.
const NEXT_ATTEMPT: &str = "CASE WHEN attempt < 2147483647 THEN attempt + 1 ELSE attempt END";
/// The condition that no attempt of a task has begun. An attempt that was interrupted does not count as one.
pub(super) const UNBEGUN: &str = "attempt = 0 AND snoozes = 0 AND state IN ('available', 'scheduled', 'waiting')";

impl Store {
    /// Whether a claim that finds nothing costs hardly more than a peek: one statement that locks nothing. Then it is not
    /// worth asking first.
    pub fn claims_unasked(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// Whether [`Store::claim_queues`] takes one statement for all queues.
    pub fn claims_together(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// Claims up to `count` tasks of `queue` for `node`: the lowest priority first, then the oldest.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn claim(&self, node: &NodeId, queue: &QueueName, count: usize) -> Result<ClaimResult, StoreError> {
        self.claim_where(None, &ClaimPosition::default(), node, queue, count).await
    }

    /// As [`Store::claim`], of tasks of `known` names only. The others stay where they are, for other nodes.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn claim_known(
        &self,
        known: &TaskNames,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
    ) -> Result<ClaimResult, StoreError> {
        self.claim_where(Some(known), &ClaimPosition::default(), node, queue, count).await
    }

    /// As [`Store::claim_known`], of tasks behind that position only.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn claim_behind(
        &self,
        position: &ClaimPosition,
        known: &TaskNames,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
    ) -> Result<ClaimResult, StoreError> {
        self.claim_where(Some(known), position, node, queue, count).await
    }

    async fn claim_where(
        &self,
        known: Option<&TaskNames>,
        position: &ClaimPosition,
        node: &NodeId,
        queue: &QueueName,
        count: usize,
    ) -> Result<ClaimResult, StoreError> {
        match self.timed(Operation::Claim, self.claim_batch(known, position, node, queue, count as i64)).await {
            Err(StoreError::Refused(why)) => {
                self.set_refused_aside(node, queue, count, &why).await?;
                self.claim_batch(known, position, node, queue, count as i64).await
            }
            result => result,
        }
    }

    async fn claim_batch(
        &self,
        known: Option<&TaskNames>,
        position: &ClaimPosition,
        node: &NodeId,
        queue: &QueueName,
        count: i64,
    ) -> Result<ClaimResult, StoreError> {
        self.with_retries(async || {
            let filter = self.known_filter("name", known);
            if self.dialect != Dialect::MySql {
                return self.claim_by_update(position, node, queue, count, filter).await;
            }
            let transaction = self.begin().await?;
            let Candidates { mut tasks, later, unreadable } =
                self.lock_candidates(&transaction, node, queue, count, &filter.0, filter.1).await?;
            self.postpone(&transaction, &later).await?;
            self.mark_running(&transaction, node, &mut tasks).await?;
            self.set_aside(&transaction, (node, queue), &unreadable).await?;
            self.commit(transaction).await?;
            self.note_set_aside(&unreadable);
            // The queue may go on behind the tasks that are set aside, as behind those that came too early.
            Ok(ClaimResult { tasks, postponed: later.len() + unreadable.len(), ..ClaimResult::default() })
        })
        .await
    }

    /// The condition that `column` is one of these names, to follow others, and its parameter.
    pub(super) fn known_filter(&self, column: &str, known: Option<&TaskNames>) -> (String, Option<Value>) {
        let value = known.map(|known| self.known(known));
        (value.as_ref().map_or_else(String::new, |_| format!(" AND {}", self.dialect.is_known(column))), value)
    }

    /// Names as the parameter of [`Dialect::is_known`].
    pub(super) fn known(&self, known: &TaskNames) -> Value {
        match self.dialect {
            Dialect::MySql => known.iter().filter(|name| !name.contains(',')).collect::<Vec<_>>().join(",").into(),
            Dialect::Postgres | Dialect::Sqlite => self.names(known.iter()),
        }
    }

    /// The end of a SELECT of available tasks. `filter` is a further condition.
    pub(super) fn candidates(&self, filter: &str) -> String {
        self.candidates_in("queue = ?", filter)
    }

    /// As [`Store::candidates`], with another condition for the queue.
    pub(super) fn candidates_in(&self, condition: &str, filter: &str) -> String {
        self.candidates_of(CandidateQueue { condition, name: "?", count: "?" }, filter)
    }

    /// As [`Store::candidates`], with the queue and the number of tasks in SQL.
    pub(super) fn candidates_of(
        &self,
        CandidateQueue { condition, name, count }: CandidateQueue<'_>,
        filter: &str,
    ) -> String {
        format!(
            "FROM sexton_task WHERE {condition} AND state = 'available' \
             AND NOT EXISTS (SELECT 1 FROM sexton_queue q WHERE q.name = {name} AND q.paused) AND {halts} \
             AND EXISTS (SELECT 1 FROM sexton_node n WHERE n.id = ? AND n.lease_expires_at > {now}) \
             AND cancel_requested_at IS NULL \
             AND (expires_at IS NULL OR expires_at > {now} OR attempt > 0 OR snoozes > 0) {filter} \
             ORDER BY priority, id LIMIT {count}",
            halts = nothing_halts(self.dialect),
            now = self.dialect.now()
        )
    }

    /// Finds, marks and returns the tasks in one statement.
    async fn claim_by_update(
        &self,
        position: &ClaimPosition,
        node: &NodeId,
        queue: &QueueName,
        count: i64,
        (filter, filter_values): (String, Option<Value>),
    ) -> Result<ClaimResult, StoreError> {
        let is_behind = self.claims_behind() && !position.is_start();
        let candidates = match (self.dialect, is_behind) {
            (Dialect::Postgres, true) => format!("= ANY(ARRAY({}))", self.candidates_behind(&filter)),
            (Dialect::Postgres, false) => {
                format!("= ANY(ARRAY(SELECT id {} FOR UPDATE SKIP LOCKED))", self.candidates(&filter))
            }
            (Dialect::MySql | Dialect::Sqlite, _) => format!("IN (SELECT id {})", self.candidates(&filter)),
        };
        let sql = self.claiming_update(&candidates, "");
        let (own, name) = (node.as_str(), queue.as_str());
        let mut values: Vec<Value> = vec![own.into()];
        values.extend(is_behind.then(|| self.ranges(position)));
        values.extend([name.into(), name.into(), own.into()]);
        values.extend(filter_values);
        values.push(count.into());
        values.extend(is_behind.then(|| count.into()));
        values.push(self.payload_limit());
        let mut claimed = ClaimedRows::default();
        for row in self.all(&self.db, &sql, values).await? {
            claimed.read(self, &row, queue)?;
        }
        Ok(claimed.into_result(self, node, queue).await)
    }

    /// The statement that marks candidates as running, and returns them with `more` columns. Its parameters: the node, those of
    /// the candidates, and [`Store::payload_limit`].
    pub(super) fn claiming_update(&self, candidates: &str, more: &str) -> String {
        let now = self.dialect.now();
        let due = |due: &str, not_due: &str| format!("CASE WHEN run_at <= {now} THEN {due} ELSE {not_due} END");
        format!(
            "UPDATE sexton_task SET state = {}, fence = {}, attempt = {}, node = {}, started_at = {} \
             WHERE id {candidates} RETURNING {CLAIMED_COLUMNS}, {}, priority, state{more}",
            due("'running'", "'scheduled'"),
            due(self.dialect.next_fence(), "fence"),
            due(NEXT_ATTEMPT, "attempt"),
            due("?", "NULL"),
            due(now, "NULL"),
            self.dialect.payload_within(),
        )
    }

    /// Locks available tasks until the end of the transaction. MySQL and MariaDB need this because they cannot return
    /// updated rows, and a bounded claim because it checks the limits before it marks anything.
    pub(super) async fn lock_candidates(
        &self,
        transaction: &DatabaseTransaction,
        node: &NodeId,
        queue: &QueueName,
        count: i64,
        filter: &str,
        filter_values: impl IntoIterator<Item = Value>,
    ) -> Result<Candidates, StoreError> {
        let from = self.candidates(filter);
        self.lock_from(transaction, &from, (node, queue), count, filter_values).await
    }

    /// As [`Store::lock_candidates`], with the end of the SELECT.
    pub(super) async fn lock_from(
        &self,
        transaction: &DatabaseTransaction,
        from: &str,
        (node, queue): (&NodeId, &QueueName),
        count: i64,
        filter_values: impl IntoIterator<Item = Value>,
    ) -> Result<Candidates, StoreError> {
        let lock = match self.dialect {
            Dialect::Sqlite => "",
            Dialect::Postgres | Dialect::MySql => "FOR UPDATE SKIP LOCKED",
        };
        let sql = format!(
            "SELECT {CLAIMED_COLUMNS}, {payload}, CASE WHEN run_at <= {now} THEN 0 ELSE 1 END AS is_later, \
             {next_fence} AS next_fence, {now} AS at {from} {lock}",
            payload = self.dialect.payload_within(),
            next_fence = self.dialect.next_fence(),
            now = self.dialect.now(),
        );
        let (own, name) = (node.as_str(), queue.as_str());
        let mut values: Vec<Value> = vec![self.payload_limit(), name.into(), name.into(), own.into()];
        values.extend(filter_values);
        values.push(count.into());
        let mut found = Candidates::default();
        for row in &self.all(transaction, &sql, values).await? {
            let at: DateTime<Utc> = row.try_get("", "at")?;
            if row.try_get::<i32>("", "is_later")? == 1 {
                found.later.push(row.try_get("", "id")?);
                continue;
            }
            let next_fence = row.try_get("", "next_fence")?;
            match self.claimed(row, queue).and_then(|task| check_fence(next_fence).map(|()| task)) {
                Ok(task) => {
                    let claim = Claim { fence: next_fence, ..task.claim };
                    let attempt = task.attempt.saturating_add(1);
                    found.tasks.push(ClaimedTask { claim, attempt, started_at: at, ..task });
                }
                Err(why) => found.unreadable.push(UnreadableTask::new(row, why)?),
            }
        }
        Ok(found)
    }

    /// Moves tasks that are not due yet to `scheduled`.
    pub(super) async fn postpone(&self, transaction: &DatabaseTransaction, later: &[i64]) -> Result<(), StoreError> {
        if !later.is_empty() {
            let rows = self.dialect.rows("d", &ID_COLUMN);
            let sql = self.dialect.update_joined("sexton_task", &[("state", "'scheduled'")], &rows, "t.id = d.id");
            self.run(transaction, &sql, [self.ids(later.iter().copied())]).await?;
        }
        Ok(())
    }

    /// Marks locked candidates as running on this node.
    pub(super) async fn mark_running(
        &self,
        transaction: &DatabaseTransaction,
        node: &NodeId,
        tasks: &mut [ClaimedTask],
    ) -> Result<(), StoreError> {
        let Some(at) = tasks.first().map(|task| task.started_at) else { return Ok(()) };
        tasks.iter_mut().for_each(|task| task.started_at = at);
        let sets = [
            ("state", "'running'"),
            ("fence", "d.fence"),
            ("attempt", NEXT_ATTEMPT),
            ("node", "?"),
            ("started_at", self.dialect.instant_parameter()),
        ];
        let on = "t.id = d.id AND t.state = 'available' AND t.fence < d.fence";
        let sql = self.dialect.update_joined("sexton_task", &sets, &self.dialect.rows("d", &FENCE_COLUMNS), on);
        let mut rows = Rows::new(self.dialect);
        for ClaimedTask { claim, .. } in tasks.iter() {
            rows.push(|row| {
                row.set("id", claim.task_id).set("fence", claim.fence);
            });
        }
        let sets = [node.as_str().into(), self.dialect.instant(at).into()];
        let values = self.dialect.joined_values(sets, rows.into_value());
        if self.run(transaction, &sql, values).await? != tasks.len() as u64 {
            return Err(StoreError::Conflict("another node claimed one of the tasks first".to_owned()));
        }
        Ok(())
    }
}
