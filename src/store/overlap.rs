//! Decisions on instants that depend on the schedule's state: runs that must not overlap, and instants at a start.

use std::{borrow::Cow, collections::HashMap};

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use sexton_entities::states::Fate;

use super::{
    Firing, Store, StoreError, connection::DatabaseTransaction, dialect::Kind, pause_schedule::HAS_END,
    row_decoding::instant,
};
use crate::domain::schedule::{
    TICK,
    missed_policy::{self, Overlap},
    reason::Reason,
};

/// The row of a schedule.
struct ScheduleState {
    /// The ledger is complete up to this instant.
    last_at: DateTime<Utc>,
    paused: bool,
    /// The end of the pause, if it has one.
    paused_until: Option<DateTime<Utc>>,
}

impl ScheduleState {
    fn is_paused_at(&self, due_at: DateTime<Utc>) -> bool {
        self.paused && self.paused_until.is_none_or(|until| due_at < until)
    }
}

const NAME: [(&str, Kind); 1] = [("name", Kind::Text)];

impl Store {
    /// Adjusts firings to the unfinished runs of their schedules, the runs of this very call included. An instant that
    /// would overlap such a run is skipped or queued behind it; [`Store::claim_within`] keeps a queued run back. An instant
    /// of a daemon's start moves to the first free instant.
    ///
    /// The rows of the schedules are locked first. So another node's entry of another instant is either visible here, or
    /// waits for this transaction.
    ///
    /// # Errors
    /// If the database is not available, refuses a statement, or gives the transaction up.
    pub(super) async fn resolve_overlaps<'a>(
        &self,
        transaction: &DatabaseTransaction,
        firings: &'a [Firing],
    ) -> Result<Cow<'a, [Firing]>, StoreError> {
        let is_concerned = |firing: &&Firing| firing.overlap != Overlap::Allow || firing.at_start;
        let mut names: Vec<&str> = firings.iter().filter(is_concerned).map(|firing| firing.schedule.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Ok(Cow::Borrowed(firings));
        }
        let listed = self.lock_schedules(transaction, &names).await?;
        let mut unfinished = self.unfinished_runs(transaction, &names).await?;
        let mut firings = firings.to_vec();
        for firing in &mut firings {
            let Some(listed) = listed.get(&firing.schedule) else { continue };
            if firing.at_start {
                firing.due_at = firing.due_at.max(listed.last_at + TICK);
            }
            // Another node has entered it already, or the schedule is paused.
            if firing.due_at <= listed.last_at
                || listed.is_paused_at(firing.due_at)
                || !missed_policy::runs(firing.fate)
            {
                continue;
            }
            match (firing.overlap, unfinished.get(&firing.schedule)) {
                (Overlap::Allow, _) => {}
                (_, None) => drop(unfinished.insert(firing.schedule.clone(), firing.due_at)),
                (Overlap::Skip, Some(unfinished)) => {
                    firing.fate = Fate::Skipped;
                    firing.reason = Some(Reason::Overlap { unfinished: *unfinished });
                }
                (Overlap::Queue, Some(unfinished)) => {
                    firing.reason = Some(Reason::queued_behind(*unfinished, firing.reason.take()));
                }
            }
        }
        Ok(Cow::Owned(firings))
    }

    /// Locks these schedules until the end of the transaction. Returns their rows.
    async fn lock_schedules(
        &self,
        transaction: &DatabaseTransaction,
        names: &[&str],
    ) -> Result<HashMap<String, ScheduleState>, StoreError> {
        let sql = format!(
            "SELECT s.name AS name, s.last_at AS last_at, s.paused AS paused, \
             CASE WHEN {HAS_END} THEN s.paused_until END AS paused_until FROM {} \
             JOIN sexton_schedule s ON s.name = d.name ORDER BY s.name {}",
            self.dialect.rows_beside_locks("d", &NAME),
            self.dialect.for_update(),
        );
        let rows = self.all(transaction, &sql, [self.names(names.iter().copied())]).await?;
        let listed = |row: &QueryResult| {
            let listed = ScheduleState {
                last_at: row.try_get("", "last_at")?,
                paused: row.try_get("", "paused")?,
                paused_until: instant(row, "paused_until").ok().flatten(),
            };
            Ok((row.try_get("", "name")?, listed))
        };
        rows.iter().map(listed).collect()
    }

    /// For each schedule with unfinished tasks, the instant of the oldest task.
    async fn unfinished_runs(
        &self,
        transaction: &DatabaseTransaction,
        names: &[&str],
    ) -> Result<HashMap<String, DateTime<Utc>>, StoreError> {
        let sql = format!(
            "SELECT t.schedule AS name, MIN(COALESCE(t.due_at, t.enqueued_at)) AS due_at FROM {} \
             JOIN sexton_task t ON t.schedule = d.name GROUP BY t.schedule",
            self.dialect.rows("d", &NAME),
        );
        let rows = self.all(transaction, &sql, [self.names(names.iter().copied())]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "due_at")?))).collect()
    }
}
