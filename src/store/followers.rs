//! The look at all tasks that wait for others: for what the end of a task could not settle itself.
//!
//! The transaction that ends a task settles its followers. This look finds what that cannot see: a follower
//! whose transaction was still open at the end of its predecessor, the last members of a group that end at once, rows that
//! an application wrote by itself, what a node of an earlier version ended, and tasks that wait for one another.

use std::collections::BTreeSet;

use sea_orm::QueryResult;
use serde::Serialize;
use sexton_client::{
    domain::chain::{SkipReason, cycle},
    store::followers::Settled,
};

use super::{
    Store, StoreError,
    claim::ID_COLUMN,
    dialect::Kind,
    groups::{GroupMember, member},
    portions::in_portions,
    rows::Rows,
};

/// How many tasks one transaction settles.
const PORTION: usize = 200;
/// How many tasks one look reads at once.
const BATCH_SIZE: usize = 1_000;
/// A task that waits for nothing is ended after this time: an application may write the task before its rows.
const NOTHING_MILLIS: i64 = -60_000;
/// The condition that a dependency `w` of task `t` has ended, and that nobody has noted it.
const HAS_ENDED: &str = "w.outcome IS NULL AND (w.after_id IS NULL \
     OR NOT EXISTS (SELECT 1 FROM sexton_task p WHERE p.id = w.after_id)) AND (w.after_group IS NULL \
     OR NOT EXISTS (SELECT 1 FROM sexton_task m WHERE m.group_name = w.after_group AND m.id <> t.id))";
const GROUP: [(&str, Kind); 1] = [("group_name", Kind::Text)];

/// A task or a group for which a task waits, or has waited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PredecessorRow {
    /// The task that waits.
    #[serde(skip)]
    pub task_id: i64,
    /// The task for which it waits.
    pub after_id: Option<i64>,
    /// The group for which it waits.
    pub after_group: Option<String>,
    /// The name of that task, if it is known.
    pub name: Option<String>,
    /// The state of that task, if it is unfinished.
    pub state: Option<String>,
    /// Which end lets the task begin.
    pub required: String,
    /// Whether it waits for all of its predecessors, or for any of them.
    pub fan_in: String,
    /// How the predecessor ended; none if it has not, or if the task did not wait for it any more.
    pub outcome: Option<String>,
}

impl Store {
    /// What these tasks wait for, or have waited for.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the query.
    pub async fn predecessors(&self, tasks: &[i64]) -> Result<Vec<PredecessorRow>, StoreError> {
        let sql = format!(
            "SELECT w.task_id, w.after_id, w.after_group, p.state, COALESCE(p.name, (SELECT h.name FROM sexton_history h \
             WHERE h.task_id = w.after_id ORDER BY h.id DESC LIMIT 1)) AS name, w.required, w.fan_in, w.outcome \
             FROM {} JOIN sexton_task_dependency w ON w.task_id = d.id LEFT JOIN sexton_task p ON p.id = w.after_id \
             ORDER BY w.task_id, w.id",
            self.dialect.rows("d", &ID_COLUMN)
        );
        let row = |row: &QueryResult| {
            Ok(PredecessorRow {
                task_id: row.try_get("", "task_id")?,
                after_id: row.try_get("", "after_id")?,
                after_group: row.try_get("", "after_group")?,
                name: row.try_get("", "name")?,
                state: row.try_get("", "state")?,
                required: row.try_get("", "required")?,
                fan_in: row.try_get("", "fan_in")?,
                outcome: row.try_get("", "outcome")?,
            })
        };
        self.all(&self.db, &sql, [self.ids(tasks.iter().copied())]).await?.iter().map(row).collect()
    }

    /// The tasks that wait for a task.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the query.
    pub async fn followers_of(&self, task: i64) -> Result<Vec<GroupMember>, StoreError> {
        let sql = "SELECT DISTINCT t.id, t.name, t.state FROM sexton_task_dependency w \
                   JOIN sexton_task t ON t.id = w.task_id AND t.state = 'waiting' WHERE w.after_id = ? ORDER BY t.id LIMIT 100";
        self.all(&self.db, sql, [task.into()]).await?.iter().map(member).collect()
    }

    /// Settles all tasks that wait, and whose predecessors have ended or wait for them. Tasks that the database refuses to
    /// settle do not keep the others back, and are reported.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a query.
    pub async fn settle_all(&self) -> Result<Settled, StoreError> {
        let find = format!(
            "SELECT t.id FROM sexton_task t WHERE t.state = 'waiting' AND t.id > ? AND (EXISTS \
             (SELECT 1 FROM sexton_task_dependency w WHERE w.task_id = t.id AND {HAS_ENDED}) OR (t.enqueued_at < {} \
             AND NOT EXISTS (SELECT 1 FROM sexton_task_dependency w WHERE w.task_id = t.id))) ORDER BY t.id LIMIT ?",
            self.dialect.now_plus_millis(&NOTHING_MILLIS.to_string())
        );
        let mut total = self.break_cycles().await?;
        let mut after = i64::MIN;
        loop {
            let rows = self.all(&self.db, &find, [after.into(), (BATCH_SIZE as i64).into()]).await?;
            let ids = rows.iter().map(id_of).collect::<Result<Vec<i64>, StoreError>>()?;
            let Some(last) = ids.last() else { return Ok(total) };
            after = *last;
            let settled = self.settle_these(&ids).await?;
            total.released += settled.released;
            total.skipped += settled.skipped;
        }
    }

    /// Settles the tasks that wait for groups whose last task has ended. Of two nodes that try, one settles each task.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a query.
    pub async fn settle_groups(&self, groups: &BTreeSet<String>) -> Result<Settled, StoreError> {
        if groups.is_empty() {
            return Ok(Settled::default());
        }
        let mut rows = Rows::new(self.dialect);
        for group in groups {
            rows.push(|row| {
                row.set("group_name", group.as_str());
            });
        }
        let sql = format!(
            "SELECT DISTINCT t.id FROM {} JOIN sexton_task_dependency w ON w.after_group = d.group_name \
             JOIN sexton_task t ON t.id = w.task_id AND t.state = 'waiting' WHERE {HAS_ENDED}",
            self.dialect.rows("d", &GROUP)
        );
        let rows = self.all(&self.db, &sql, [rows.into_value()]).await?;
        self.settle_these(&rows.iter().map(id_of).collect::<Result<Vec<i64>, StoreError>>()?).await
    }

    async fn settle_these(&self, ids: &[i64]) -> Result<Settled, StoreError> {
        let work = async |portion: &[i64]| {
            self.with_retries(async || {
                let transaction = self.begin().await?;
                let mut settled = Settled::default();
                let ended = self.settle_waiting_tasks(&transaction, portion, &mut settled).await?;
                let more = self.settle_followers(&transaction, &ended).await?;
                self.commit(transaction).await?;
                Ok(Settled { released: settled.released + more.released, skipped: settled.skipped + more.skipped })
            })
            .await
        };
        let results = in_portions(ids.chunks(PORTION), work).await?;
        for (id, why) in results.refused {
            self.isolated().note(format_args!("task {id} waits, and cannot be settled"), why);
        }
        let sum = |total: Settled, settled: Settled| Settled {
            released: total.released + settled.released,
            skipped: total.skipped + settled.skipped,
        };
        Ok(results.done.into_iter().fold(Settled::default(), sum))
    }

    /// Ends tasks that wait for one another. A task waits for older ones only, unless an application wrote the rows itself,
    /// or a group is among them: without either, there is nothing to search.
    async fn break_cycles(&self) -> Result<Settled, StoreError> {
        let suspicious = "SELECT t.id FROM sexton_task t JOIN sexton_task_dependency w ON w.task_id = t.id \
             WHERE t.state = 'waiting' AND w.outcome IS NULL AND (w.after_id >= w.task_id OR w.after_group IS NOT NULL) \
             LIMIT 1";
        let mut total = Settled::default();
        while !self.all(&self.db, suspicious, []).await?.is_empty() {
            let Some(found) = cycle(&self.waiting_edges().await?) else { break };
            let settled = self
                .with_retries(async || {
                    let transaction = self.begin().await?;
                    let reason = SkipReason::Cycle(found.clone());
                    let held = self.lock_waiting(&transaction, &found).await?;
                    let skipped: Vec<(i64, SkipReason)> = held.iter().map(|id| (*id, reason.clone())).collect();
                    self.skip_waiting(&transaction, &skipped).await?;
                    let more = self.settle_followers(&transaction, &held).await?;
                    self.commit(transaction).await?;
                    Ok(Settled { released: more.released, skipped: held.len() + more.skipped })
                })
                .await?;
            // Another node was first, or the database changed meanwhile: the next look sees what is left.
            if settled == Settled::default() {
                break;
            }
            tracing::warn!("{}: they end in the history as skipped", SkipReason::Cycle(found).sentence());
            total.released += settled.released;
            total.skipped += settled.skipped;
        }
        Ok(total)
    }

    /// For each waiting task, the waiting tasks for which it waits.
    async fn waiting_edges(&self) -> Result<Vec<(i64, i64)>, StoreError> {
        let edges = |on: &str| {
            format!(
                "SELECT w.task_id AS id, p.id AS after FROM sexton_task t JOIN sexton_task_dependency w ON w.task_id = t.id \
                 JOIN sexton_task p ON {on} AND p.state = 'waiting' WHERE t.state = 'waiting' AND w.outcome IS NULL"
            )
        };
        let mut all = Vec::new();
        for sql in [edges("p.id = w.after_id"), edges("p.group_name = w.after_group AND p.id <> w.task_id")] {
            for row in self.all(&self.db, &sql, []).await? {
                all.push((id_of(&row)?, row.try_get("", "after")?));
            }
        }
        Ok(all)
    }
}

fn id_of(row: &QueryResult) -> Result<i64, StoreError> {
    Ok(row.try_get("", "id")?)
}
