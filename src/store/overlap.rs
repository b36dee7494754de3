//! Schedules whose runs do not overlap: an instant is skipped, or queued, while an earlier run is not finished.

use std::{borrow::Cow, collections::HashMap};

use chrono::{DateTime, Utc};
use sea_orm::DatabaseTransaction;
use sexton_entities::states::Fate;

use super::{Firing, Store, StoreError, dialect::Kind};
use crate::domain::policy::{self, Overlap};

const NAME: [(&str, Kind); 1] = [("name", Kind::Text)];

impl Store {
    /// Skips what would run beside an unfinished run of its own schedule, one of this very call included; notes of what is
    /// queued behind one that it is. It does not begin before: see [`Store::claim_within`].
    ///
    /// The schedules' rows are locked first, so that another node's entry of another instant comes before or after
    /// this one, and is seen.
    pub(super) async fn mind_overlap<'a>(
        &self,
        transaction: &DatabaseTransaction,
        firings: &'a [Firing],
    ) -> Result<Cow<'a, [Firing]>, StoreError> {
        let is_concerned = |firing: &&Firing| firing.overlap != Overlap::Allow;
        let mut names: Vec<&str> = firings.iter().filter(is_concerned).map(|firing| firing.schedule.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Ok(Cow::Borrowed(firings));
        }
        let last = self.lock_schedules(transaction, &names).await?;
        let mut unfinished = self.unfinished_runs(transaction, &names).await?;
        let mut firings = firings.to_vec();
        let concerned = |firing: &&mut Firing| firing.overlap != Overlap::Allow && policy::runs(firing.fate);
        for firing in firings.iter_mut().filter(concerned) {
            // Of no account: entered already by another node, paused, or not listed.
            if last.get(&firing.schedule).is_none_or(|last| firing.due_at <= *last) {
                continue;
            }
            match unfinished.get(&firing.schedule) {
                None => drop(unfinished.insert(firing.schedule.clone(), firing.due_at)),
                Some(due_at) if firing.overlap == Overlap::Skip => {
                    firing.fate = Fate::Skipped;
                    firing.reason = Some(policy::overlaps(*due_at));
                }
                Some(due_at) => firing.reason = Some(policy::queues_up(*due_at)),
            }
        }
        Ok(Cow::Owned(firings))
    }

    /// Locks these schedules to the end of the transaction; gives how far each has come that is not paused.
    async fn lock_schedules(
        &self,
        transaction: &DatabaseTransaction,
        names: &[&str],
    ) -> Result<HashMap<String, DateTime<Utc>>, StoreError> {
        let sql = format!(
            "SELECT s.name AS name, s.last_at AS last_at, s.paused AS paused FROM {} \
             JOIN sexton_schedule s ON s.name = d.name ORDER BY s.name {}",
            self.dialect.rows("d", &NAME),
            self.dialect.for_update(),
        );
        let mut last = HashMap::new();
        for row in self.all(transaction, &sql, [self.names(names.iter().copied())]).await? {
            if !row.try_get::<bool>("", "paused")? {
                last.insert(row.try_get("", "name")?, row.try_get("", "last_at")?);
            }
        }
        Ok(last)
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
