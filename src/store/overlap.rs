//! What is entered in view of what the schedule has done: runs that do not overlap, and starts that all count.

use std::{borrow::Cow, collections::HashMap};

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, QueryResult};
use sexton_entities::states::Fate;

use super::{Firing, Store, StoreError, dialect::Kind};
use crate::domain::schedule::{
    TICK, held_until,
    policy::{self, Overlap},
};

/// A schedule, as it is listed.
struct ScheduleState {
    /// Everything until then has been dealt with.
    last_at: DateTime<Utc>,
    paused: bool,
}

const NAME: [(&str, Kind); 1] = [("name", Kind::Text)];

impl Store {
    /// Looks at what the schedules have done already. What would run beside an unfinished run of its own schedule, one of
    /// this very call included, is skipped, or noted as queued behind it: it does not begin before, see
    /// [`Store::claim_within`]. What comes with the start of a daemon takes the first instant that is free.
    ///
    /// The schedules' rows are locked first, so that another node's entry of another instant comes before or after
    /// this one, and is seen.
    pub(super) async fn look_back<'a>(
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
            // Of no account: entered already by another node, or paused.
            if firing.due_at <= listed.last_at || listed.paused || !policy::runs(firing.fate) {
                continue;
            }
            match (firing.overlap, unfinished.get(&firing.schedule)) {
                (Overlap::Allow, _) => {}
                (_, None) => drop(unfinished.insert(firing.schedule.clone(), firing.due_at)),
                (Overlap::Skip, Some(due_at)) => {
                    firing.fate = Fate::Skipped;
                    firing.reason = Some(policy::overlaps(*due_at));
                }
                // When it is held, that is what keeps it.
                (Overlap::Queue, Some(due_at)) if firing.reason.as_deref().and_then(held_until).is_none() => {
                    let late = firing.reason.take().map(|late| format!("; {late}")).unwrap_or_default();
                    firing.reason = Some(policy::queues_up(*due_at) + &late);
                }
                (Overlap::Queue, Some(_)) => {}
            }
        }
        Ok(Cow::Owned(firings))
    }

    /// Locks these schedules to the end of the transaction.
    async fn lock_schedules(
        &self,
        transaction: &DatabaseTransaction,
        names: &[&str],
    ) -> Result<HashMap<String, ScheduleState>, StoreError> {
        let sql = format!(
            "SELECT s.name AS name, s.last_at AS last_at, s.paused AS paused FROM {} \
             JOIN sexton_schedule s ON s.name = d.name ORDER BY s.name {}",
            self.dialect.rows_beside_locks("d", &NAME),
            self.dialect.for_update(),
        );
        let rows = self.all(transaction, &sql, [self.names(names.iter().copied())]).await?;
        let listed = |row: &QueryResult| {
            let listed = ScheduleState { last_at: row.try_get("", "last_at")?, paused: row.try_get("", "paused")? };
            Ok((row.try_get("", "name")?, listed))
        };
        rows.iter().map(listed).collect()
    }

    /// Of each schedule with unfinished tasks, the instant of the oldest one.
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
