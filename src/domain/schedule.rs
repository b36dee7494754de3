//! Which instants of a schedule are due, and what is to become of those that were missed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sexton_entities::states::Fate;

use super::{recurrence::Recurrence, span};

/// A missed instant older than this is late.
const PUNCTUAL: TimeDelta = TimeDelta::seconds(10);
/// How many missed instants are named in the ledger one by one; of more, the latest.
const NAMED: usize = 100;

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

/// What is due at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The instant to run now, with `Fired` or `Late`.
    pub fire: Option<(DateTime<Utc>, Fate)>,
    /// Earlier missed instants that it stands for, the oldest first.
    pub coalesced: Vec<DateTime<Utc>>,
}

impl Schedule {
    /// A schedule without any of the settings that may be left out.
    pub fn new(name: impl Into<String>, recurrences: Vec<Recurrence>) -> Self {
        Self { name: name.into(), recurrences, period: None, outside: Outside::default(), jitter: None }
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

    /// What is due at `now` if everything until `last` has been dealt with: the last missed instant runs, the
    /// earlier ones are coalesced into it.
    pub fn due(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Due {
        let mut missed = self.latest_between(last, now);
        let Some(latest) = missed.pop() else { return Due::default() };
        let fate = if now - latest > PUNCTUAL { Fate::Late } else { Fate::Fired };
        Due { fire: Some((latest, fate)), coalesced: missed }
    }

    /// The latest instants in `(last, now]`, the oldest first. Looks back step by step, so that a short
    /// interval after a long downtime costs no more than a long one.
    fn latest_between(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let mut window = TimeDelta::minutes(1);
        loop {
            let start = (now - window).max(last);
            let mut found: Vec<_> = std::iter::successors(self.next_after(start), |at| self.next_after(*at))
                .take_while(|at| *at <= now)
                .collect();
            if start <= last || found.len() > NAMED {
                return found.split_off(found.len().saturating_sub(NAMED + 1));
            }
            window = window * 8;
        }
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
    fn nothing_is_due_before_its_time() {
        let due = every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:59Z"));
        assert_eq!(due, Due::default());
    }

    #[test]
    fn of_missed_instants_the_last_runs_and_the_others_are_named() {
        let due = every(60).due(at("2026-11-21T10:00:00Z"), at("2026-11-21T10:03:30Z"));
        assert_eq!(due.fire, Some((at("2026-11-21T10:03:00Z"), Fate::Late)));
        assert_eq!(due.coalesced, [at("2026-11-21T10:01:00Z"), at("2026-11-21T10:02:00Z")]);
    }

    #[test]
    fn a_year_of_seconds_costs_little_and_names_the_latest() {
        let due = every(1).due(at("2025-11-21T10:00:00Z"), at("2026-11-21T10:00:00Z"));
        assert_eq!(due.fire, Some((at("2026-11-21T10:00:00Z"), Fate::Fired)));
        assert_eq!(due.coalesced.len(), NAMED);
        assert_eq!(due.coalesced[NAMED - 1], at("2026-11-21T09:59:59Z"));
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
