//! Which instants of a schedule are due, and what is to become of those that were missed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::states::Fate;

use super::{
    period::Period,
    policy::{Before, Decision, Policy, runs},
    recurrence::Recurrence,
    span,
};

/// So many instants that have no place in the ledger are counted; of more it is said that there are more.
const COUNTED: usize = 10_000;
/// No two instants are nearer to each other.
const TICK: TimeDelta = TimeDelta::microseconds(1);
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
    pub outside: Outside,
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
    /// It is due when the period begins.
    Hold,
}

/// Where an instant of a schedule is, as its period sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It counts.
    Inside,
    /// It does not count.
    Skipped,
    /// It counts, and is due when the period begins.
    Held(DateTime<Utc>),
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
            outside: Outside::default(),
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
        let jitter = self.jitter.map(|jitter| format!("; jitter {}", span::text(jitter))).unwrap_or_default();
        format!("{}{jitter}", rules.join("; "))
    }

    /// A sentence in English for each of its recurrences.
    pub fn describe(&self) -> String {
        let rules: Vec<String> = self.recurrences.iter().map(Recurrence::describe).collect();
        let jitter = self.jitter.map(|jitter| format!("; later by up to {}", span::text(jitter))).unwrap_or_default();
        format!("{}{jitter}", rules.join("; "))
    }

    /// What is due at `now` if everything until `last` has been dealt with, and what is to become of it, the
    /// oldest first.
    pub fn due(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Vec<Decision> {
        let most = self.policy.most();
        let due = self.latest_between(last, now, most);
        let before = match due.first() {
            Some(first) if due.len() == most => self.count_between(last, *first),
            _ => Before::default(),
        };
        self.policy.decide(&due, before, now)
    }

    /// What the period of the schedule makes of a decision: what is outside it is skipped, or held until the instant that is
    /// given, when the period begins again.
    pub fn within(&self, decision: Decision, period: Option<&Period>) -> (Decision, Option<DateTime<Utc>>) {
        if !runs(decision.fate) {
            return (decision, None);
        }
        let name = self.period.as_deref().unwrap_or_default();
        match self.place(decision.at, period) {
            Place::Inside => (decision, None),
            Place::Held(begin) => {
                let reason = format!("{HELD}{}: {OUTSIDE}{name}", begin.to_rfc3339());
                (Decision { reason: Some(reason), ..decision }, Some(begin))
            }
            Place::Skipped => {
                (Decision { fate: Fate::Skipped, reason: Some(format!("{OUTSIDE}{name}")), ..decision }, None)
            }
        }
    }

    /// Where an instant is, as the schedule's period sees it.
    pub fn place(&self, at: DateTime<Utc>, period: Option<&Period>) -> Place {
        let Some(period) = period else { return Place::Inside };
        let holds_from = match self.outside {
            Outside::Skip => period.is_inside(at).then_some(at),
            Outside::Hold => period.next_inside(at),
        };
        self.place_by(at, holds_from)
    }

    /// Where an instant is, if from it on the period holds at `holds_from` first.
    pub fn place_by(&self, at: DateTime<Utc>, holds_from: Option<DateTime<Utc>>) -> Place {
        match (holds_from, self.outside) {
            (Some(begin), _) if begin <= at => Place::Inside,
            (Some(begin), Outside::Hold) => Place::Held(begin),
            _ => Place::Skipped,
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

    /// How many instants there are in `(last, end)`.
    fn count_between(&self, last: DateTime<Utc>, end: DateTime<Utc>) -> Before {
        let count = self.from(last).take_while(|at| *at < end).take(COUNTED + 1).count();
        Before { count: count.min(COUNTED), is_more: count > COUNTED }
    }

    /// The instants after `after`.
    fn from(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_after(after), |at| self.next_after(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::policy::NAMED, *};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn every(seconds: u64) -> Schedule {
        Schedule::new("s", vec![Recurrence::Every(Duration::from_secs(seconds))])
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        assert!(every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:59Z")).is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_due() {
        assert!(every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T08:00:30Z")).is_empty());
    }

    #[test]
    fn of_missed_instants_the_last_runs_and_the_others_are_named() {
        let due = every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:04:30Z"));
        let found: Vec<(DateTime<Utc>, Fate)> = due.iter().map(|decision| (decision.at, decision.fate)).collect();
        let expected = [
            (at("2026-11-21T10:01:00Z"), Fate::Coalesced),
            (at("2026-11-21T10:02:00Z"), Fate::Coalesced),
            (at("2026-11-21T10:03:00Z"), Fate::Coalesced),
            (at("2026-11-21T10:04:00Z"), Fate::Late),
        ];
        assert_eq!(found, expected);
        assert_eq!(due[3].reason.as_deref(), Some("late by 30s"));
    }

    #[test]
    fn a_year_of_seconds_costs_little_and_names_the_latest() {
        let due = every(1).due(at("2025-11-21T10:00:00Z"), at("2026-11-21T10:00:00Z"));
        assert_eq!(due.len(), NAMED + 1);
        assert_eq!((due[NAMED].at, due[NAMED].fate), (at("2026-11-21T10:00:00Z"), Fate::Fired));
        assert_eq!((due[NAMED - 1].at, due[NAMED - 1].fate), (at("2026-11-21T09:59:59Z"), Fate::Coalesced));
        let reason = due[0].reason.as_deref().expect("a reason");
        assert!(reason.ends_with("; and more than 10000 before it"), "{reason}");
        let less = every(1).due(at("2026-11-21T08:00:00Z"), at("2026-11-21T10:00:00Z"));
        let reason = less[0].reason.as_deref().expect("a reason");
        assert!(reason.ends_with("; and 7099 before it"), "{reason}");
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
