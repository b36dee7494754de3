//! The finish: what ended is taken out of the tasks and put into history, in one transaction for a whole batch.
//!
//! Each finish is guarded by its fence. One whose task has gone to another claim meanwhile changes nothing but
//! history, where it is recorded as superseded. Repeating a finish whose commit was in doubt is harmless: task,
//! fence and outcome are unique in history.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseTransaction};
use sexton_entities::states::{Outcome, Verdict};

use super::{
    Store, StoreError,
    dialect::{Dialect, Kind},
    rows::Rows,
};
use crate::{domain::task::FinishedAttempt, store::claim::list};

/// What to do about a finish that comes too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStale {
    /// Record it as superseded: an attempt was really made.
    Record,
    /// Nothing: another rescuer was faster, and has recorded it.
    Ignore,
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Finishes that counted.
    pub counted: usize,
    /// Finishes that came too late.
    pub stale: usize,
    /// Tasks that are to be tried again later.
    pub retrying: usize,
    /// Tasks that are available again at once.
    pub released: usize,
}

const HISTORY: [(&str, Kind); 19] = [
    ("task_id", Kind::Integer),
    ("name", Kind::Text),
    ("kind", Kind::Text),
    ("queue", Kind::Text),
    ("schedule", Kind::Text),
    ("due_at", Kind::Instant),
    ("enqueued_at", Kind::Instant),
    ("started_at", Kind::Instant),
    ("finished_at", Kind::Instant),
    ("duration_ms", Kind::Integer),
    ("node", Kind::Text),
    ("attempt", Kind::Integer),
    ("outcome", Kind::Text),
    ("verdict", Kind::Text),
    ("exit_code", Kind::Integer),
    ("its_signal", Kind::Integer), // `signal` alone is a reserved word on MySQL
    ("error", Kind::Text),
    ("payload", Kind::Text),
    ("fence", Kind::Integer),
];
const OUTPUT: [(&str, Kind); 6] = [
    ("task_id", Kind::Integer),
    ("fence", Kind::Integer),
    ("outcome", Kind::Text),
    ("stdout", Kind::Text),
    ("stderr", Kind::Text),
    ("truncated", Kind::Boolean),
];
const RETRY: [(&str, Kind); 2] = [("id", Kind::Integer), ("retry_ms", Kind::Integer)];

impl Store {
    /// Records a batch of finished attempts.
    pub async fn finish(&self, batch: &[FinishedAttempt], on_stale: OnStale) -> Result<Recorded, StoreError> {
        if batch.is_empty() {
            return Ok(Recorded::default());
        }
        self.repeating(async || {
            let transaction = self.begin().await?;
            let held = self.held(&transaction, batch).await?;
            let (current, stale): (Vec<_>, Vec<_>) =
                batch.iter().partition(|finished| held.contains(&(finished.task_id, finished.fence)));
            let mut rows = current.clone();
            let superseded = if stale.is_empty() || on_stale == OnStale::Ignore {
                Vec::new()
            } else {
                self.superseded(&transaction, &stale).await?
            };
            rows.extend(&superseded);
            self.insert_history(&transaction, &rows).await?;
            self.insert_output(&transaction, &rows).await?;
            let recorded = self.settle(&transaction, &current).await?;
            self.commit(transaction).await?;
            Ok(Recorded { stale: superseded.len(), ..recorded })
        })
        .await
    }

    /// Locks the tasks of the batch and gives the claims that still hold.
    async fn held(
        &self,
        transaction: &DatabaseTransaction,
        batch: &[FinishedAttempt],
    ) -> Result<HashSet<(i64, i64)>, StoreError> {
        let mut ids: Vec<i64> = batch.iter().map(|finished| finished.task_id).collect();
        ids.sort_unstable();
        let sql = format!(
            "SELECT id, fence FROM sexton_task WHERE {} AND state = 'running' ORDER BY id {}",
            self.id_among(),
            self.dialect.for_update()
        );
        let rows = match self.dialect {
            Dialect::MySql => self.all(transaction, &sql.replace('?', &list(&ids)), []).await?,
            _ => self.all(transaction, &sql, [self.ids(&ids)]).await?,
        };
        rows.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "fence")?))).collect()
    }

    /// The stale finishes as they are to be recorded. One that is on record already, because the answer to its
    /// commit was lost, is not superseded at all.
    async fn superseded(
        &self,
        transaction: &DatabaseTransaction,
        stale: &[&FinishedAttempt],
    ) -> Result<Vec<FinishedAttempt>, StoreError> {
        let mut superseded = Vec::new();
        for finished in stale {
            let known = self
                .all(
                    transaction,
                    "SELECT id FROM sexton_history WHERE task_id = ? AND fence = ? AND outcome IN (?, 'superseded')",
                    [finished.task_id.into(), finished.fence.into(), finished.outcome.as_str().into()],
                )
                .await?;
            if known.is_empty() {
                let note = format!("it ended as {} after the task had been given to another", finished.outcome);
                superseded.push(FinishedAttempt {
                    outcome: Outcome::Superseded,
                    verdict: None,
                    error: Some(finished.error.as_ref().map_or(note.clone(), |error| format!("{note}: {error}"))),
                    ..(*finished).clone()
                });
            }
        }
        Ok(superseded)
    }

    async fn insert_history(
        &self,
        transaction: &DatabaseTransaction,
        finished: &[&FinishedAttempt],
    ) -> Result<(), StoreError> {
        let names: Vec<String> =
            HISTORY.iter().map(|(name, _)| self.dialect.quoted(name.trim_start_matches("its_"))).collect();
        let values: Vec<String> = HISTORY
            .iter()
            .map(|(name, _)| match *name {
                "payload" => self.dialect.json("d.payload"),
                name => format!("d.{name}"),
            })
            .collect();
        let sql = self.dialect.insert_new(
            &format!("sexton_history ({})", names.join(", ")),
            &format!("SELECT {} FROM {}", values.join(", "), self.dialect.rows("d", &HISTORY)),
        );
        let mut rows = Rows::new(self.dialect);
        for finished in finished {
            rows.push(|row| {
                row.set("task_id", finished.task_id)
                    .set("name", finished.name.clone())
                    .set("kind", finished.kind.clone())
                    .set("queue", finished.queue.clone())
                    .set("schedule", finished.schedule.clone())
                    .at("due_at", finished.due_at)
                    .at("enqueued_at", finished.enqueued_at)
                    .at("started_at", finished.started_at)
                    .at("finished_at", finished.finished_at)
                    .set("duration_ms", finished.duration_ms)
                    .set("node", finished.node.clone())
                    .set("attempt", finished.attempt)
                    .set("outcome", finished.outcome.as_str())
                    .set("verdict", finished.verdict.map(Verdict::as_str))
                    .set("exit_code", finished.report.exit_code)
                    .set("its_signal", finished.report.signal)
                    .set("error", finished.error.clone())
                    .json("payload", finished.payload.as_ref())
                    .set("fence", finished.fence);
            });
        }
        self.run(transaction, &sql, [rows.into_value()]).await?;
        Ok(())
    }

    async fn insert_output(
        &self,
        transaction: &DatabaseTransaction,
        finished: &[&FinishedAttempt],
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        let mut any = false;
        for finished in finished.iter().filter(|f| !f.report.stdout.is_empty() || !f.report.stderr.is_empty()) {
            any = true;
            rows.push(|row| {
                row.set("task_id", finished.task_id)
                    .set("fence", finished.fence)
                    .set("outcome", finished.outcome.as_str())
                    .set("stdout", finished.report.stdout.clone())
                    .set("stderr", finished.report.stderr.clone())
                    .set("truncated", finished.report.truncated);
            });
        }
        if !any {
            return Ok(());
        }
        let select = format!(
            "SELECT h.id, COALESCE(d.stdout, ''), COALESCE(d.stderr, ''), d.truncated FROM {} \
             JOIN sexton_history h ON h.task_id = d.task_id AND h.fence = d.fence AND h.outcome = d.outcome",
            self.dialect.rows("d", &OUTPUT)
        );
        let sql = self.dialect.insert_new("sexton_output (history_id, stdout, stderr, truncated)", &select);
        self.run(transaction, &sql, [rows.into_value()]).await?;
        Ok(())
    }

    /// Carries the verdicts out on the tasks themselves, which are locked.
    async fn settle(
        &self,
        transaction: &DatabaseTransaction,
        current: &[&FinishedAttempt],
    ) -> Result<Recorded, StoreError> {
        let of = |wanted: &[Verdict]| -> Vec<&FinishedAttempt> {
            current.iter().copied().filter(|f| f.verdict.is_some_and(|verdict| wanted.contains(&verdict))).collect()
        };
        let ids = |finished: &[&FinishedAttempt]| finished.iter().map(|f| f.task_id).collect::<Vec<_>>();
        let ended = of(&[Verdict::Completed, Verdict::Discarded, Verdict::Cancelled]);
        let (released, retrying) = (of(&[Verdict::Released]), of(&[Verdict::Retry]));
        self.by_ids(transaction, "DELETE FROM sexton_task", &ids(&ended)).await?;
        let release = "UPDATE sexton_task SET state = 'available', attempt = attempt - 1, node = NULL, \
                       started_at = NULL, cancel_requested_at = NULL";
        self.by_ids(transaction, release, &ids(&released)).await?;
        if !retrying.is_empty() {
            let run_at = self.dialect.now_plus_millis("d.retry_ms");
            let sets = [
                ("state", "'retryable'"),
                ("run_at", run_at.as_str()),
                ("node", "NULL"),
                ("started_at", "NULL"),
                ("cancel_requested_at", "NULL"),
            ];
            let sql = self.dialect.update_joined("sexton_task", &sets, &self.dialect.rows("d", &RETRY), "t.id = d.id");
            let mut rows = Rows::new(self.dialect);
            for finished in &retrying {
                rows.push(|row| {
                    row.set("id", finished.task_id).set("retry_ms", finished.retry_ms);
                });
            }
            self.run(transaction, &sql, [rows.into_value()]).await?;
        }
        Ok(Recorded { counted: current.len(), stale: 0, retrying: retrying.len(), released: released.len() })
    }

    async fn by_ids(&self, transaction: &DatabaseTransaction, what: &str, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let sql = format!("{what} WHERE {}", self.id_among());
        match self.dialect {
            Dialect::MySql => {
                transaction.execute_unprepared(&sql.replace('?', &list(ids))).await?;
            }
            _ => {
                self.run(transaction, &sql, [self.ids(ids)]).await?;
            }
        }
        Ok(())
    }

    /// `id` among the ids of one parameter. MySQL plans badly over anything but plain numbers here, which take
    /// the parameter's place.
    fn id_among(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => "id = ANY(CAST(CAST(? AS text) AS bigint[]))",
            Dialect::Sqlite => "id IN (SELECT value FROM json_each(?))",
            Dialect::MySql => "id IN (?)",
        }
    }

    fn ids(&self, ids: &[i64]) -> sea_orm::Value {
        match self.dialect {
            Dialect::Postgres => format!("{{{}}}", list(ids)).into(),
            _ => format!("[{}]", list(ids)).into(),
        }
    }
}
