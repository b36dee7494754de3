//! What recurs: the instants of a schedule, and where they are in its period.

pub mod agenda;
mod due;
pub mod moment;
pub mod plan;
pub mod policy;
pub mod recurrence;
pub mod upcoming;
pub mod weekly;
pub mod why;
pub mod zone;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::states::Fate;

use self::{
    policy::{Decision, Missed, Policy, coalesced, runs},
    recurrence::Recurrence,
};
use super::{period::Period, text::duration};

/// No two instants are nearer to each other.
pub const TICK: TimeDelta = TimeDelta::microseconds(1);
/// How the reason of an instant begins that is held, or outside its period.
const HELD: &str = "held until ";
const OUTSIDE: &str = "outside period ";

/// A definition's schedule: the union of its recurrences.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name, which is that of the task definition it belongs to.
    pub name: String,
    /// The recurrences, of which each instant counts once.
    pub recurrences: Vec<Recurrence>,
    /// The period in which its instants count.
    pub period: Option<String>,
    /// What becomes of those outside it.
    pub outside_period: Outside,
    /// Each of its tasks starts later by a random part of this.
    pub jitter: Option<Duration>,
    /// What becomes of its instants.
    pub policy: Policy,
}

/// What becomes of an instant that is outside the period of its schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// Nothing, but for a line in the ledger.
    #[default]
    Skip,
    /// It is due when the period begins: of several, the last one, unless all missed ones are wanted.
    Hold,
}

/// Where an instant of a schedule is, as its period sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodPlace {
    /// It counts.
    Inside,
    /// It does not count.
    Skipped,
    /// It counts, and is due when the period begins.
    Held(DateTime<Utc>),
    /// It would be held, but a later one that is held as well runs in its place.
    Coalesced(DateTime<Utc>),
}

/// Until when an instant was held, as the reason of its entry in the ledger says.
pub fn held_until(reason: &str) -> Option<DateTime<Utc>> {
    reason.strip_prefix(HELD)?.split_once(": ")?.0.parse().ok()
}

/// Whether the reason of an entry in the ledger is that the instant was outside its period.
pub fn was_outside(reason: &str) -> bool {
    reason.starts_with(OUTSIDE) || held_until(reason).is_some()
}

impl Schedule {
    /// A schedule without any of the settings that may be left out.
    pub fn new(name: impl Into<String>, recurrences: Vec<Recurrence>) -> Self {
        Self {
            name: name.into(),
            recurrences,
            period: None,
            outside_period: Outside::default(),
            jitter: None,
            policy: Policy::default(),
        }
    }

    /// The first instant strictly after `after`.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.recurrences.iter().filter_map(|rule| rule.next_after(after)).min()
    }

    /// As written: what the operator sees, and what tells an edited schedule from an unchanged one.
    pub fn spec(&self) -> String {
        let rules: Vec<String> = self.recurrences.iter().map(ToString::to_string).collect();
        let jitter = self.jitter.map(|jitter| format!("; jitter {}", duration::text(jitter))).unwrap_or_default();
        format!("{}{jitter}", rules.join("; "))
    }

    /// A sentence in English for each of its recurrences, and for what becomes of their instants.
    pub fn describe(&self) -> String {
        let mut parts: Vec<String> = self.recurrences.iter().map(Recurrence::describe).collect();
        parts.extend(self.jitter.map(|jitter| format!("later by up to {}", duration::text(jitter))));
        parts.extend(self.period.as_ref().map(|period| match self.outside_period {
            Outside::Skip => format!("in period {period} only"),
            Outside::Hold => format!("outside period {period}, held until that begins"),
        }));
        parts.join("; ")
    }

    /// What the period of the schedule makes of a decision to run.
    pub fn within(&self, decision: Decision, period: Option<&Period>) -> Decision {
        if !runs(decision.fate) {
            return decision;
        }
        let name = self.period.as_deref().unwrap_or_default();
        let (fate, reason, held_until) = match self.place(decision.at, period) {
            PeriodPlace::Inside => return decision,
            PeriodPlace::Held(begin) => {
                (decision.fate, format!("{HELD}{}: {OUTSIDE}{name}", begin.to_rfc3339()), Some(begin))
            }
            PeriodPlace::Coalesced(into) => (Fate::Coalesced, coalesced(into), None),
            PeriodPlace::Skipped => (Fate::Skipped, format!("{OUTSIDE}{name}"), None),
        };
        Decision { fate, reason: Some(reason), held_until, ..decision }
    }

    /// Where an instant is, as the schedule's period sees it.
    pub fn place(&self, at: DateTime<Utc>, period: Option<&Period>) -> PeriodPlace {
        let Some(period) = period else { return PeriodPlace::Inside };
        let holds_from = match self.outside_period {
            Outside::Skip => period.is_inside(at).then_some(at),
            Outside::Hold => period.next_inside(at),
        };
        self.place_by(at, holds_from)
    }

    /// Where an instant is, if from it on the period holds at `holds_from` first.
    pub fn place_by(&self, at: DateTime<Utc>, holds_from: Option<DateTime<Utc>>) -> PeriodPlace {
        match (holds_from, self.outside_period) {
            (Some(begin), _) if begin <= at => PeriodPlace::Inside,
            (Some(begin), Outside::Hold) => {
                // Nobody wants the same thing ten times when the period begins.
                let others = self.policy.missed != Missed::All && self.next_after(at).is_some_and(|next| next < begin);
                let last = others.then(|| self.latest_between(at, begin - TICK, 1).pop()).flatten();
                last.map_or(PeriodPlace::Held(begin), PeriodPlace::Coalesced)
            }
            _ => PeriodPlace::Skipped,
        }
    }

    /// The instant itself if it is one of the schedule's, and its neighbours before and after; of those before,
    /// as far as `since`.
    pub fn around(
        &self,
        at: DateTime<Utc>,
        since: DateTime<Utc>,
    ) -> (Option<DateTime<Utc>>, bool, Option<DateTime<Utc>>) {
        (self.latest_between(since, at - TICK, 1).pop(), self.has(at), self.next_after(at))
    }

    /// Whether it comes at each start of a daemon, apart from other instants.
    pub fn is_at_start(&self) -> bool {
        self.recurrences.iter().any(Recurrence::is_at_start)
    }

    /// Whether an instant is one of the schedule's.
    pub fn has(&self, at: DateTime<Utc>) -> bool {
        self.next_after(at - TICK) == Some(at)
    }

    /// The latest instants in `(last, now]`, the oldest first. Looks back step by step, so that a short
    /// interval after a long downtime costs no more than a long one.
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

    /// The instants after `after`.
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
