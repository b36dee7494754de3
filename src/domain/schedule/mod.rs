//! Schedules: their instants, and the position of an instant relative to the schedule's period.

pub mod agenda;
pub mod definitions;
mod due_instants;
pub mod expectation;
pub mod missed_policy;
pub mod moment;
pub mod overdue;
pub mod plan;
pub mod reason;
pub mod recurrence;
pub mod upcoming;
pub mod weekly;
pub mod why;
pub mod zone;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
pub use sexton_client::domain::schedule_definition::ScheduleDefinition;
use sexton_entities::states::Fate;

use self::{
    expectation::Expectation,
    missed_policy::{Decision, Missed, Policy, runs},
    reason::Reason,
    recurrence::{Follows, Recurrence},
};
use super::{period::Period, text::duration};

/// A clock that is set back makes schedules silent until the time has come again, so that nothing runs twice. A schedule
/// that is further ahead of the time than this goes on at once: a clock was wrong, and nobody waits for it.
pub const AHEAD: TimeDelta = TimeDelta::days(1);
/// Smallest distance of two instants: the resolution of the database.
pub const TICK: TimeDelta = TimeDelta::microseconds(1);

/// A definition's schedule: the union of its recurrences.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Unique name: the name of its task definition.
    pub name: String,
    /// The recurrences. An instant of several recurrences counts once.
    pub recurrences: Vec<Recurrence>,
    /// Name of the period in which its instants run. `None` means always.
    pub period: Option<String>,
    /// What happens to instants outside the period.
    pub outside_period: Outside,
    /// Longest random delay of each of its tasks.
    pub jitter: Option<Duration>,
    /// Decides on missed and overlapping instants.
    pub policy: Policy,
    /// By when a run must have succeeded. `None` if no success is expected.
    pub expect: Option<Expectation>,
}

/// The setting `outside_period`: what happens to an instant that is outside the period of its schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// It does not run; the ledger records that.
    #[default]
    Skip,
    /// It is due when the period begins. Of several, the last one runs, or each one with [`Missed::All`].
    Hold,
}

/// Position of an instant relative to the period of its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodPlace {
    /// Inside: it runs.
    Inside,
    /// Outside: it does not run.
    Skipped,
    /// Outside: it runs when the period begins.
    Held(DateTime<Utc>),
    /// Outside: a later instant, which is held as well, runs in its place.
    Coalesced(DateTime<Utc>),
}

impl Schedule {
    /// A schedule with defaults for every optional setting.
    pub fn new(name: impl Into<String>, recurrences: Vec<Recurrence>) -> Self {
        Self {
            name: name.into(),
            recurrences,
            period: None,
            outside_period: Outside::default(),
            jitter: None,
            policy: Policy::default(),
            expect: None,
        }
    }

    /// The first instant strictly after `after`.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.recurrences.iter().filter_map(|rule| rule.next_after(after)).min()
    }

    /// The recurrences in one notation: shown to operators, and compared to find edited schedules.
    pub fn spec(&self) -> String {
        let rules: Vec<String> = self.recurrences.iter().map(ToString::to_string).collect();
        let jitter = self.jitter.map(|jitter| format!("; jitter {}", duration::text(jitter))).unwrap_or_default();
        format!("{}{jitter}", rules.join("; "))
    }

    /// Its recurrences, jitter and period in English.
    pub fn describe(&self) -> String {
        let mut parts: Vec<String> = self.recurrences.iter().map(Recurrence::describe).collect();
        parts.extend(self.jitter.map(|jitter| format!("up to {} later", duration::text(jitter))));
        parts.extend(self.period.as_ref().map(|period| match self.outside_period {
            Outside::Skip => format!("in period {period} only"),
            Outside::Hold => format!("outside period {period}, held until it begins"),
        }));
        parts.join("; ")
    }

    /// Applies the period of the schedule to a decision to run.
    pub fn within(&self, decision: Decision, period: Option<&Period>) -> Decision {
        if !runs(decision.fate) {
            return decision;
        }
        let name = || self.period.clone().unwrap_or_default();
        let (fate, reason, held_until) = match self.place(decision.at, period) {
            PeriodPlace::Inside => return decision,
            PeriodPlace::Held(until) => (decision.fate, Reason::Held { until, period: name() }, Some(until)),
            PeriodPlace::Coalesced(into) => (Fate::Coalesced, Reason::Coalesced { into }, None),
            PeriodPlace::Skipped => (Fate::Skipped, Reason::OutsidePeriod { period: name() }, None),
        };
        Decision { fate, reason: Some(reason), held_until, ..decision }
    }

    /// The position of an instant relative to the schedule's period.
    pub fn place(&self, at: DateTime<Utc>, period: Option<&Period>) -> PeriodPlace {
        let Some(period) = period else { return PeriodPlace::Inside };
        let holds_from = match self.outside_period {
            Outside::Skip => period.is_inside(at).then_some(at),
            Outside::Hold => period.next_inside(at),
        };
        self.place_by(at, holds_from)
    }

    /// The same, if the period next includes `holds_from`, counted from the instant.
    pub fn place_by(&self, at: DateTime<Utc>, holds_from: Option<DateTime<Utc>>) -> PeriodPlace {
        match (holds_from, self.outside_period) {
            (Some(begin), _) if begin <= at => PeriodPlace::Inside,
            (Some(begin), Outside::Hold) => {
                // One run is enough when the period begins.
                let others = self.policy.missed != Missed::All && self.next_after(at).is_some_and(|next| next < begin);
                let last = others.then(|| self.latest_between(at, begin - TICK, 1).pop()).flatten();
                last.map_or(PeriodPlace::Held(begin), PeriodPlace::Coalesced)
            }
            _ => PeriodPlace::Skipped,
        }
    }

    /// The neighbours of an instant, and between them whether it is one of the schedule's own. The search backwards ends
    /// at `since`.
    pub fn around(
        &self,
        at: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> (Option<DateTime<Utc>>, bool, Option<DateTime<Utc>>) {
        (self.latest_between(since, at - TICK, 1).pop(), self.has(at), self.next_after(at))
    }

    /// The schedules whose runs it follows, with the end of those runs that lets its own begin.
    pub fn follows(&self) -> impl Iterator<Item = &Follows> {
        self.recurrences.iter().filter_map(Recurrence::follows)
    }

    /// Whether it runs at each start of a daemon, in addition to its other instants.
    pub fn is_at_start(&self) -> bool {
        self.recurrences.iter().any(Recurrence::is_at_start)
    }

    /// Whether an instant is one of the schedule's.
    pub fn has(&self, at: DateTime<Utc>) -> bool {
        self.next_after(at - TICK) == Some(at)
    }

    /// The latest `most` instants in `(last, now]`, oldest first. The search goes back in growing steps, so a short
    /// interval after a long downtime costs no more than a long interval.
    pub fn latest_between(&self, last: DateTime<Utc>, now: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        let mut window = TimeDelta::minutes(1);
        loop {
            let start = (now - window).max(last);
            let mut found: Vec<_> = self.from(start).take_while(|at| *at <= now).collect();
            if start <= last || found.len() >= most {
                return found.split_off(found.len().saturating_sub(most));
            }
            window = window * 8;
        }
    }

    /// The instants strictly after `after`, in order.
    pub(super) fn from(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_after(after), |at| self.next_after(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn every(seconds: u64) -> Schedule {
        Schedule::new("s", vec![Recurrence::Every(Duration::from_secs(seconds))])
    }

    #[test]
    fn an_instant_has_neighbours() {
        let (now, start) = (at("2026-11-21T10:00:30Z"), at("2026-11-21T10:00:00Z"));
        let long_ago = at("2022-11-21T00:00:00Z");
        assert_eq!(every(60).around(now, long_ago), (Some(start), false, Some(at("2026-11-21T10:01:00Z"))));
        let (before, is_own, _) = every(60).around(start, long_ago);
        assert_eq!((before, is_own), (Some(at("2026-11-21T09:59:00Z")), true));
        assert_eq!(every(60).around(now, start).0, None);
    }

    #[test]
    fn a_list_is_a_union() {
        let mut both = every(60);
        both.recurrences.push(Recurrence::Every(Duration::from_secs(90)));
        assert_eq!(both.next_after(at("2026-11-21T10:00:00Z")), Some(at("2026-11-21T10:01:00Z")));
        assert_eq!(both.next_after(at("2026-11-21T10:01:00Z")), Some(at("2026-11-21T10:01:30Z")));
        assert_eq!(both.next_after(at("2026-11-21T10:02:00Z")), Some(at("2026-11-21T10:03:00Z")));
    }
}
