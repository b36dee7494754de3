//! The finish: the verdicts of a batch of ended attempts are applied to their tasks, and the attempts are written to
//! the history, in one transaction.
//!
//! Each finish is guarded by its claim: task, fence, node, and the instant of the enqueue. A finish whose task belongs to
//! another claim by now does not change the task; it is recorded as superseded. A finish may be repeated after a commit
//! in doubt, because the claim and the outcome are unique in the history.

use std::collections::HashMap;

use sexton_entities::states::{Outcome, Verdict};

use super::{
    Operation, Store, StoreError,
    attempt_columns::{ATTEMPT_COLUMNS, name_in_history, set_attempt},
    claim_conditions::HELD_COLUMNS,
    connection::DatabaseTransaction,
    dialect::{Dialect, Kind},
    finish_result::{HeldTask, Recorded, is_followed},
    output_notices::OutputNotice,
    rows::{ClaimColumns as _, Rows},
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

/// The columns of the history besides those of the attempt.
const TASK_COLUMNS: [(&str, Kind); 8] = [
    ("task_id", Kind::Integer),
    ("name", Kind::Text),
    ("queue", Kind::Text),
    ("schedule", Kind::Text),
    ("attempt", Kind::Integer),
    ("payload", Kind::Text),
    ("fence", Kind::Integer),
    ("group_name", Kind::Text),
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

/// Whether a verdict ends its task.
pub(super) fn ends(verdict: Option<Verdict>) -> bool {
    matches!(verdict, Some(Verdict::Completed | Verdict::Discarded | Verdict::Cancelled))
}

impl Store {
    /// Records a batch of finished attempts in one transaction, and settles the tasks that wait for what has ended.
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
        let recording = self.with_retries(async || {
            let transaction = self.begin().await?;
            let (movable, others) = self.movable(batch);
            let moved_tasks = self.move_to_history(&transaction, &movable).await?;
            let held = self.apply_verdicts(&transaction, &others).await?;
            let is_held = |finished: &&FinishedAttempt| held.contains_key(&finished.claim);
            let (unmoved, mut stale): (Vec<_>, Vec<_>) = others.into_iter().partition(is_held);
            let (moved, late): (Vec<_>, Vec<_>) =
                movable.into_iter().partition(|finished| moved_tasks.contains_key(&finished.claim));
            stale.extend(late);
            let superseded = match on_stale {
                OnStale::Record => {
                    self.note_survivors(&transaction, &stale).await?;
                    self.superseded(&transaction, &stale).await?
                }
                OnStale::Ignore => Vec::new(),
            };
            // MySQL turns errors of INSERT IGNORE into warnings and omits the rows.
            let kept = self.insert_history(&transaction, &unmoved, &held).await?;
            if kept < unmoved.len() as u64 {
                let missing = counted(unmoved.len() - kept as usize, "row");
                return Err(StoreError::Refused(format!("the database left out {missing} of the history")));
            }
            let current: Vec<&FinishedAttempt> = moved.into_iter().chain(unmoved).collect();
            let superseded_rows: Vec<&FinishedAttempt> = superseded.iter().collect();
            self.insert_history(&transaction, &superseded_rows, &HashMap::new()).await?;
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
            let ended: Vec<&HeldTask> = current
                .iter()
                .filter(|finished| ends(finished.verdict))
                .filter_map(|finished| held.get(&finished.claim).or_else(|| moved_tasks.get(&finished.claim)))
                .collect();
            let followed: Vec<i64> =
                ended.iter().filter(|task| task.is_followed).map(|task| task.claim.task_id).collect();
            let settled = self.settle_followers(&transaction, &followed).await?;
            self.commit(transaction).await?;
            let count = |verdict| current.iter().filter(|finished| finished.verdict == Some(verdict)).count();
            Ok(Recorded {
                counted: current.len(),
                stale: superseded.len(),
                retrying: count(Verdict::Retry),
                released: count(Verdict::Released),
                followers: settled.released,
                groups: ended.iter().filter_map(|task| task.group.clone()).collect(),
            })
        });
        self.timed(Operation::Finish, recording).await
    }

    /// Applies the verdicts to the tasks whose claims still hold. Returns these tasks.
    pub(super) async fn apply_verdicts(
        &self,
        transaction: &DatabaseTransaction,
        batch: &[&FinishedAttempt],
    ) -> Result<HashMap<Claim, HeldTask>, StoreError> {
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
        let mut held = HashMap::new();
        for (finished, sql) in steps {
            if !finished.is_empty() {
                let applied = self.apply(transaction, &sql, on, &finished).await?;
                held.extend(applied.into_iter().map(|task| (task.claim, task)));
            }
        }
        Ok(held)
    }

    /// Runs a statement that changes tasks by their claims. Returns the tasks that were changed. MySQL cannot return
    /// them, so they are selected and locked before.
    async fn apply(
        &self,
        transaction: &DatabaseTransaction,
        sql: &str,
        on: &str,
        finished: &[&FinishedAttempt],
    ) -> Result<Vec<HeldTask>, StoreError> {
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
        let t = if self.dialect == Dialect::Sqlite { "" } else { "t." };
        let followed = is_followed(if self.dialect == Dialect::Sqlite { "sexton_task.id" } else { "t.id" });
        let returned = format!("{t}id, {t}fence, {t}group_name, {followed} AS is_followed");
        let changed = match self.dialect {
            Dialect::MySql => {
                let select = format!(
                    "SELECT {returned} FROM {} JOIN sexton_task t ON {on} FOR UPDATE",
                    self.dialect.rows_beside_locks("d", &CLAIM_COLUMNS)
                );
                let rows = self.all(transaction, &select, [parameter.clone()]).await?;
                self.run(transaction, sql, [parameter]).await?;
                rows
            }
            Dialect::Postgres => self.all(transaction, &format!("{sql} RETURNING {returned}"), [parameter]).await?,
            Dialect::Sqlite => self.all(transaction, &format!("{sql} RETURNING {returned}"), [parameter]).await?,
        };
        changed.iter().map(HeldTask::of).collect()
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

    /// The stale finishes that are to be recorded as superseded. A finish that is in the history already is left out: its
    /// commit succeeded, but the answer was lost, or the daemon died before it had deleted the attempt's directory.
    async fn superseded(
        &self,
        transaction: &DatabaseTransaction,
        stale: &[&FinishedAttempt],
    ) -> Result<Vec<FinishedAttempt>, StoreError> {
        let at = self.dialect.instant_parameter();
        // Who takes an attempt over whose task is gone does not know how it ended. `interrupted` is what others suppose.
        let known = format!(
            "SELECT id FROM sexton_history WHERE task_id = ? AND fence = ? \
             AND (outcome = {text} OR outcome = 'superseded' OR {text} = 'superseded' AND outcome <> 'interrupted') \
             AND enqueued_at = {at} AND (claimed_at IS NULL OR claimed_at = {at})",
            text = self.dialect.text_parameter()
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
        held: &HashMap<Claim, HeldTask>,
    ) -> Result<u64, StoreError> {
        if finished.is_empty() {
            return Ok(0);
        }
        let columns: Vec<_> = TASK_COLUMNS.into_iter().chain(ATTEMPT_COLUMNS).collect();
        let names: Vec<String> = columns.iter().map(|(name, _)| self.dialect.quoted(name_in_history(name))).collect();
        let values: Vec<String> = columns
            .iter()
            .map(|(name, _)| match *name {
                "payload" | "result" => self.dialect.json(&format!("d.{name}")),
                name => format!("d.{name}"),
            })
            .collect();
        let sql = self.dialect.insert_new(
            &format!("sexton_history ({})", names.join(", ")),
            &format!("SELECT {} FROM {}", values.join(", "), self.dialect.rows("d", &columns)),
        );
        let mut rows = Rows::new(self.dialect);
        for finished in finished {
            rows.push(|row| {
                row.set("task_id", finished.claim.task_id)
                    .set("name", finished.name.as_str())
                    .set("queue", finished.queue.as_str())
                    .set("schedule", finished.schedule.as_deref())
                    .set("attempt", finished.attempt)
                    .json("payload", finished.payload.as_ref())
                    .set("fence", finished.claim.fence)
                    .set("group_name", held.get(&finished.claim).and_then(|task| task.group.as_deref()));
                set_attempt(row, finished);
            });
        }
        self.run(transaction, &sql, [rows.into_value()]).await
    }
}
