//! The finish: the verdicts of a batch of ended attempts are applied to their tasks, and the attempts are written to
//! the history, in one transaction.
//!
//! Each finish is guarded by its claim: task, fence, node, and the instant of the enqueue. A finish whose task belongs to
//! another claim by now does not change the task; it is recorded as superseded. A finish may be repeated after a commit
//! in doubt, because the claim and the outcome are unique in the history.

use std::collections::HashSet;

use sexton_entities::states::{Outcome, Verdict};

use super::{
    Store, StoreError,
    claim_conditions::HELD_COLUMNS,
    connection::DatabaseTransaction,
    dialect::{Dialect, Kind},
    finish_result::Recorded,
    output_notices::OutputNotice,
    rows::{ClaimColumns as _, Rows, claim_of},
};
use crate::domain::{
    problem,
    task::{
        FinishedAttempt,
        claim::{Claim, ClaimIdentity},
    },
    text::plural::counted,
};

/// What happens to a finish whose claim does not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStale {
    /// It is recorded as superseded, because the attempt was made.
    Record,
    /// It is dropped: another rescuer has recorded it already.
    Ignore,
}

const HISTORY_COLUMNS: [(&str, Kind); 27] = [
    ("task_id", Kind::Integer),
    ("name", Kind::Text),
    ("kind", Kind::Text),
    ("queue", Kind::Text),
    ("schedule", Kind::Text),
    ("due_at", Kind::Instant),
    ("enqueued_at", Kind::Instant),
    ("claimed_at", Kind::Instant),
    ("started_at", Kind::Instant),
    ("finished_at", Kind::Instant),
    ("duration_ms", Kind::Integer),
    ("node", Kind::Text),
    ("attempt", Kind::Integer),
    ("outcome", Kind::Text),
    ("verdict", Kind::Text),
    ("exit_code", Kind::Integer),
    ("its_signal", Kind::Integer), // `signal` is a reserved word on MySQL
    ("error", Kind::Text),
    ("payload", Kind::Text),
    ("fence", Kind::Integer),
    ("core_dumped", Kind::Boolean),
    ("cpu_user_ms", Kind::Integer),
    ("cpu_system_ms", Kind::Integer),
    ("peak_memory", Kind::Integer),
    ("output_bytes", Kind::Integer),
    ("result", Kind::Text),
    ("left_behind", Kind::Integer),
];
const CLAIM_COLUMNS: [(&str, Kind); 7] = [
    ("id", Kind::Integer),
    ("fence", Kind::Integer),
    ("node", Kind::Text),
    ("enqueued_at", Kind::Instant),
    ("retry_ms", Kind::Integer),
    ("next_payload", Kind::Text),
    ("node_died", Kind::Integer),
];
/// The number of attempts of a released task: this one does not count.
pub(super) const RELEASED_ATTEMPT: &str = "CASE WHEN t.attempt > 0 THEN t.attempt - 1 ELSE 0 END";
/// The columns of an attempt, cleared when its task does not run any more. A cancel request stays: the next claim of
/// the task obeys it.
pub(super) const CLEARED: [(&str, &str); 4] =
    [("node", "NULL"), ("started_at", "NULL"), ("progress", "NULL"), ("unknown_since", "NULL")];

impl Store {
    /// Records a batch of finished attempts in one transaction.
    ///
    /// # Errors
    /// If the database is unavailable, or refuses one of the attempts: then nothing is recorded.
    pub async fn finish(&self, batch: &[FinishedAttempt], on_stale: OnStale) -> Result<Recorded, StoreError> {
        self.finish_with(batch, on_stale, &[]).await
    }

    /// The same, with the notices that have the output of these attempts.
    ///
    /// # Errors
    /// If the database is unavailable, or refuses one of the attempts: then nothing is recorded.
    pub async fn finish_with(
        &self,
        batch: &[FinishedAttempt],
        on_stale: OnStale,
        notices: &[OutputNotice],
    ) -> Result<Recorded, StoreError> {
        if batch.is_empty() {
            return Ok(Recorded::default());
        }
        let database = if notices.is_empty() { None } else { Some(self.database_id().await?) };
        self.with_retries(async || {
            let transaction = self.begin().await?;
            let (movable, others) = self.movable(batch);
            let moved = self.move_to_history(&transaction, &movable).await?;
            let held = self.apply_verdicts(&transaction, &others).await?;
            let is_held = |finished: &&FinishedAttempt| held.contains(&finished.claim);
            let (unmoved, mut stale): (Vec<_>, Vec<_>) = others.into_iter().partition(is_held);
            let (moved, late): (Vec<_>, Vec<_>) =
                movable.into_iter().partition(|finished| moved.contains(&finished.claim));
            stale.extend(late);
            let superseded = match on_stale {
                OnStale::Record => {
                    self.note_survivors(&transaction, &stale).await?;
                    self.superseded(&transaction, &stale).await?
                }
                OnStale::Ignore => Vec::new(),
            };
            // MySQL turns errors of INSERT IGNORE into warnings and omits the rows.
            let kept = self.insert_history(&transaction, &unmoved).await?;
            if kept < unmoved.len() as u64 {
                let missing = counted(unmoved.len() - kept as usize, "row");
                return Err(StoreError::Refused(format!("the database left out {missing} of the history")));
            }
            let current: Vec<&FinishedAttempt> = moved.into_iter().chain(unmoved).collect();
            let superseded_rows: Vec<&FinishedAttempt> = superseded.iter().collect();
            self.insert_history(&transaction, &superseded_rows).await?;
            let cancelled = current.iter().filter(|finished| finished.verdict == Some(Verdict::Cancelled));
            self.sign_cancelled(&transaction, &cancelled.map(|finished| (*finished).into()).collect::<Vec<_>>())
                .await?;
            let rows: Vec<&FinishedAttempt> = current.iter().copied().chain(superseded_rows).collect();
            self.insert_output(&transaction, &rows).await?;
            self.count_problems(&transaction, &problem::of_attempts(current.iter().copied())).await?;
            if let Some(database) = &database {
                let recorded = current.iter().map(|finished| finished.claim).collect();
                self.write_output_notices(&transaction, notices, &recorded, database).await?;
            }
            self.commit(transaction).await?;
            let count = |verdict| current.iter().filter(|finished| finished.verdict == Some(verdict)).count();
            Ok(Recorded {
                counted: current.len(),
                stale: superseded.len(),
                retrying: count(Verdict::Retry),
                released: count(Verdict::Released),
            })
        })
        .await
    }

    /// Applies the verdicts to the tasks whose claims still hold. Returns these claims.
    pub(super) async fn apply_verdicts(
        &self,
        transaction: &DatabaseTransaction,
        batch: &[&FinishedAttempt],
    ) -> Result<HashSet<Claim>, StoreError> {
        let of = |verdicts: &[Verdict], is_snoozed: bool| -> Vec<&FinishedAttempt> {
            batch
                .iter()
                .copied()
                .filter(|finished| finished.verdict.is_some_and(|verdict| verdicts.contains(&verdict)))
                .filter(|finished| (finished.outcome == Outcome::Snoozed) == is_snoozed)
                .collect()
        };
        let rows = self.dialect.rows("d", &CLAIM_COLUMNS);
        let on = self.claim_holds();
        let on = on.as_str();
        let with = |sets: &[(&'static str, &'static str)]| sets.iter().copied().chain(CLEARED).collect::<Vec<_>>();
        let run_at = self.dialect.now_plus_millis("d.retry_ms");
        let payload = format!("COALESCE({}, t.payload)", self.dialect.json("d.next_payload"));
        let mut retry = vec![("run_at", run_at.as_str()), ("payload", payload.as_str())];
        let mut snooze = retry.clone();
        retry.extend(with(&[("state", "'retryable'"), ("pickups", "0")]));
        snooze.extend(with(&[
            ("state", "'scheduled'"),
            ("attempt", RELEASED_ATTEMPT),
            ("snoozes", "t.snoozes + 1"),
            ("pickups", "0"),
        ]));
        let release =
            with(&[("state", "'available'"), ("attempt", RELEASED_ATTEMPT), ("pickups", "t.pickups + d.node_died")]);
        let steps = [
            (
                of(&[Verdict::Completed, Verdict::Discarded, Verdict::Cancelled], false),
                self.dialect.delete_joined("sexton_task", "id", &rows, on),
            ),
            (of(&[Verdict::Released], false), self.dialect.update_joined("sexton_task", &release, &rows, on)),
            (of(&[Verdict::Retry], false), self.dialect.update_joined("sexton_task", &retry, &rows, on)),
            (of(&[Verdict::Retry], true), self.dialect.update_joined("sexton_task", &snooze, &rows, on)),
        ];
        let mut held = HashSet::new();
        for (finished, sql) in steps {
            if !finished.is_empty() {
                let applied = self.apply(transaction, &sql, on, &finished).await?;
                held.extend(applied);
            }
        }
        Ok(held)
    }

    /// Runs a statement that changes tasks by their claims. Returns the claims that were changed. MySQL cannot return
    /// them, so they are selected and locked before.
    async fn apply(
        &self,
        transaction: &DatabaseTransaction,
        sql: &str,
        on: &str,
        finished: &[&FinishedAttempt],
    ) -> Result<Vec<Claim>, StoreError> {
        let mut rows = Rows::new(self.dialect);
        for finished in finished {
            rows.push(|row| {
                row.claim(finished.identity())
                    .set("node_died", i32::from(finished.report.node_died))
                    .set("retry_ms", finished.retry_ms)
                    .set("node", finished.node.as_str())
                    .json("next_payload", finished.report.next_payload.as_ref());
            });
        }
        let parameter = rows.into_value();
        let changed = match self.dialect {
            Dialect::MySql => {
                let select = format!(
                    "SELECT t.id, t.fence FROM {} JOIN sexton_task t ON {on} FOR UPDATE",
                    self.dialect.rows_beside_locks("d", &CLAIM_COLUMNS)
                );
                let rows = self.all(transaction, &select, [parameter.clone()]).await?;
                self.run(transaction, sql, [parameter]).await?;
                rows
            }
            Dialect::Postgres => self.all(transaction, &format!("{sql} RETURNING t.id, t.fence"), [parameter]).await?,
            Dialect::Sqlite => self.all(transaction, &format!("{sql} RETURNING id, fence"), [parameter]).await?,
        };
        changed.iter().map(claim_of).collect()
    }

    /// An attempt that has ended by itself did not take its node down, although the node was declared dead meanwhile.
    async fn note_survivors(
        &self,
        transaction: &DatabaseTransaction,
        stale: &[&FinishedAttempt],
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(self.dialect);
        let mut any = false;
        for finished in stale.iter().filter(|finished| finished.outcome != Outcome::Interrupted) {
            any = true;
            rows.push(|row| {
                row.claim(finished.identity());
            });
        }
        if !any {
            return Ok(());
        }
        let same_task = self.dialect.same_instant("t.enqueued_at", "d.enqueued_at");
        let on = format!("t.id = d.id AND t.pickups > 0 AND {same_task}");
        let table = self.dialect.rows("d", &HELD_COLUMNS);
        let sql = self.dialect.update_joined("sexton_task", &[("pickups", "0")], &table, &on);
        self.run(transaction, &sql, [rows.into_value()]).await.map(|_| ())
    }

    /// The stale finishes that are to be recorded as superseded. A finish that is in the history already is left out:
    /// its commit succeeded, but the answer was lost.
    async fn superseded(
        &self,
        transaction: &DatabaseTransaction,
        stale: &[&FinishedAttempt],
    ) -> Result<Vec<FinishedAttempt>, StoreError> {
        let at = self.dialect.instant_parameter();
        let known = format!(
            "SELECT id FROM sexton_history WHERE task_id = ? AND fence = ? AND outcome IN (?, 'superseded') \
             AND enqueued_at = {at} AND (claimed_at IS NULL OR claimed_at = {at})"
        );
        let mut superseded = Vec::new();
        for finished in stale {
            let ClaimIdentity { claim, enqueued_at, claimed_at } = finished.identity();
            let [enqueued_at, claimed_at] =
                [enqueued_at, claimed_at.unwrap_or(enqueued_at)].map(|at| self.dialect.instant(at));
            let values = [
                claim.task_id.into(),
                claim.fence.into(),
                finished.outcome.as_str().into(),
                enqueued_at.into(),
                claimed_at.into(),
            ];
            if self.all(transaction, &known, values).await?.is_empty() {
                let note = format!("it ended as {} after another claim of the task", finished.outcome);
                let error = match (finished.outcome, &finished.error) {
                    // Its node knew.
                    (Outcome::Superseded, error) => error.clone(),
                    (_, Some(error)) => Some(format!("{note}: {error}")),
                    (_, None) => Some(note),
                };
                superseded.push(FinishedAttempt {
                    outcome: Outcome::Superseded,
                    verdict: None,
                    error,
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
    ) -> Result<u64, StoreError> {
        if finished.is_empty() {
            return Ok(0);
        }
        let names: Vec<String> =
            HISTORY_COLUMNS.iter().map(|(name, _)| self.dialect.quoted(name.trim_start_matches("its_"))).collect();
        let values: Vec<String> = HISTORY_COLUMNS
            .iter()
            .map(|(name, _)| match *name {
                "payload" | "result" => self.dialect.json(&format!("d.{name}")),
                name => format!("d.{name}"),
            })
            .collect();
        let sql = self.dialect.insert_new(
            &format!("sexton_history ({})", names.join(", ")),
            &format!("SELECT {} FROM {}", values.join(", "), self.dialect.rows("d", &HISTORY_COLUMNS)),
        );
        let mut rows = Rows::new(self.dialect);
        for finished in finished {
            rows.push(|row| {
                row.set("task_id", finished.claim.task_id)
                    .set("name", finished.name.clone())
                    .set("kind", finished.kind.clone())
                    .set("queue", finished.queue.as_str())
                    .set("schedule", finished.schedule.clone())
                    .at("due_at", finished.due_at)
                    .at("enqueued_at", finished.enqueued_at)
                    .at("claimed_at", finished.claimed_at)
                    .at("started_at", finished.started_at)
                    .at("finished_at", finished.finished_at)
                    .set("duration_ms", finished.duration_ms)
                    .set("node", finished.node.as_str())
                    .set("attempt", finished.attempt)
                    .set("outcome", finished.outcome.as_str())
                    .set("verdict", finished.verdict.map(Verdict::as_str))
                    .set("exit_code", finished.report.exit_code)
                    .set("its_signal", finished.report.signal)
                    .set("error", finished.error.clone())
                    .json("payload", finished.payload.as_ref())
                    .set("fence", finished.claim.fence)
                    .set("core_dumped", finished.report.core_dumped)
                    .set("cpu_user_ms", finished.report.usage.map(|usage| usage.user_ms))
                    .set("cpu_system_ms", finished.report.usage.map(|usage| usage.system_ms))
                    .set("peak_memory", finished.report.usage.map(|usage| usage.peak_memory))
                    .set("output_bytes", finished.report.usage.map(|usage| usage.output_bytes))
                    .json("result", finished.report.result.as_ref())
                    .set("left_behind", finished.report.left_behind);
            });
        }
        self.run(transaction, &sql, [rows.into_value()]).await
    }
}
