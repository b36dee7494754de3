//! A schedule in the cron manager: what is due of it, as entries of the ledger.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::states::Origin;

use crate::{
    domain::{
        period::{Period, Periods},
        schedule::{Schedule, missed_policy::Decision},
        task::{definition::TaskDefinition, expiry},
    },
    store::Firing,
};

/// One schedule.
pub(super) struct CronEntry {
    pub(super) schedule: Arc<Schedule>,
    pub(super) definition: Arc<TaskDefinition>,
    /// Whether it stands in a file or in the database.
    pub(super) origin: Origin,
    /// All instants up to this one are processed.
    pub(super) last: DateTime<Utc>,
}

impl CronEntry {
    /// The instants that are due at `now`, as ledger entries.
    pub(super) fn take_due(
        &mut self,
        now: DateTime<Utc>,
        next_at: Option<DateTime<Utc>>,
        periods: &Periods,
    ) -> Vec<Firing> {
        let due = self.schedule.due(self.last, now, self.period(periods));
        // The latest comes last. It runs or is skipped; all before it are processed.
        self.last = due.last().map_or(self.last, |latest| latest.at);
        due.into_iter().map(|decision| self.firing(decision, next_at, now)).collect()
    }

    pub(super) fn period<'a>(&self, periods: &'a Periods) -> Option<&'a Period> {
        periods.get(self.schedule.period.as_ref()?).map(|period| &**period)
    }

    /// One instant as a ledger entry.
    pub(super) fn firing(&self, decision: Decision, next_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Firing {
        let held = decision.held_until;
        let jitter = self.schedule.jitter.and_then(|most| TimeDelta::from_std(most.mul_f64(fastrand::f64())).ok());
        let jittered = jitter.map(|jitter| held.unwrap_or(now) + jitter);
        let run_at = jittered.or(held);
        let (expires, missed_age) = (self.definition.expires, self.schedule.policy.missed_age);
        Firing {
            schedule: self.schedule.name.clone(),
            spec: Some(self.schedule.spec()),
            due_at: decision.at,
            fate: decision.fate,
            reason: decision.reason,
            stands_for: decision.stands_for,
            overlap: self.schedule.policy.overlap,
            at_start: false,
            follows: None,
            next_at,
            run_at,
            expires_at: expiry::of_instant(decision.at, run_at, now, expires, missed_age),
            task: self.definition.name.clone(),
            queue: self.definition.queue.clone(),
            priority: self.definition.priority,
            payload: self.definition.payload.clone(),
        }
    }
}
