//! Why a schedule ran, or did not run, at an instant: one sentence from what is on record.

use chrono::{DateTime, Utc};
use sexton_entities::{history, occurrence, states::Fate, task};

use super::{
    policy::{self, GRACE},
    span,
};

/// What is known of a schedule and an instant.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What the ledger says of the instant.
    pub occurrence: Option<occurrence::Model>,
    /// The next entry after the instant, if that one stands for earlier ones as well.
    pub sum: Option<occurrence::Model>,
    /// Its task, if that is not finished.
    pub task: Option<task::Model>,
    /// The latest attempt at its task.
    pub run: Option<history::Model>,
    /// The schedule, as the database has it.
    pub seen: Option<Seen>,
    /// When the configuration expects it; none if the configuration has no such schedule.
    pub plan: Option<Plan>,
}

/// A schedule in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was first seen.
    pub created_at: DateTime<Utc>,
    /// Until when everything has been dealt with.
    pub last_at: DateTime<Utc>,
    /// It is paused now.
    pub is_paused: bool,
}

/// What the configuration says of an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The instant is one of the schedule's.
    pub is_expected: bool,
    /// The one before it.
    pub before: Option<DateTime<Utc>>,
    /// The one after it.
    pub after: Option<DateTime<Utc>>,
}

impl Known {
    /// Why the schedule did, or did not, run at `at`, in one sentence.
    pub fn sentence(&self, name: &str, at: DateTime<Utc>, now: DateTime<Utc>) -> String {
        let instant = shown(at);
        if let Some(entry) = &self.occurrence {
            let reason = entry.reason.as_deref().unwrap_or("no reason is on record");
            return match entry.fate {
                Fate::Fired => format!("{name} ran at {instant}, on time, {}", self.run_of_it()),
                Fate::Late => format!("{name} ran for {instant}, {reason}, {}", self.run_of_it()),
                Fate::Coalesced => format!("{name} did not run at {instant} itself: {reason}"),
                Fate::Skipped => format!("{name} was skipped at {instant}: {reason}"),
            };
        }
        if let Some(plan) = self.plan.filter(|plan| !plan.is_expected) {
            return format!("{name} is not expected at {instant}: {}", neighbours(&plan));
        }
        let Some(seen) = self.seen else {
            return format!("nothing is known of {name} at {instant}: no node has seen this schedule yet");
        };
        if at > now {
            let wait = span::text(whole(at, now));
            let paused = if seen.is_paused { ", and the schedule is paused" } else { "" };
            return match self.plan {
                Some(_) => format!("{name} is not due yet: {instant} is {wait} ahead{paused}"),
                None => format!("{instant} is {wait} ahead, and the configuration here does not have {name}"),
            };
        }
        if at < seen.created_at {
            return format!(
                "{name} did not run at {instant}: it is newer, and was first seen at {}",
                shown(seen.created_at)
            );
        }
        match &self.sum {
            Some(sum) => format!(
                "{name} did not run at {instant}: it is one of those that are summed up in the entry of {}: {}",
                shown(sum.due_at),
                sum.reason.as_deref().unwrap_or_default()
            ),
            None if at > seen.last_at && now - at <= GRACE => {
                format!("{name} is due since {instant}, and no node has entered it yet")
            }
            None if at > seen.last_at => format!(
                "{name} has not run at {instant}: nobody has entered it yet, so no node was there that has this schedule"
            ),
            None => format!(
                "nothing is on record of {name} at {instant}: the schedule was written otherwise then, or the entry is \
                 older than history is kept"
            ),
        }
    }

    /// What became of the task.
    fn run_of_it(&self) -> String {
        match (&self.task, &self.run) {
            (Some(task), _) => format!("as task {}, which is {}", task.id, task.state),
            (None, Some(run)) => {
                let task = run.task_id.map(|id| id.to_string()).unwrap_or_default();
                let end = run.verdict.map_or(run.outcome.as_str(), |verdict| verdict.as_str());
                let took = run.duration_ms.map(|millis| format!(" after {}", span::short(millis))).unwrap_or_default();
                let error = run.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                format!("as task {task}, which was {end}{took}{error}")
            }
            (None, None) => "as a task that is not on record any more".to_owned(),
        }
    }

    /// Whether the sum is about the instant at all.
    pub fn with_sum(self, next: Option<occurrence::Model>) -> Self {
        let sum = next.filter(|entry| entry.reason.as_deref().is_some_and(policy::sums_up));
        Self { sum, ..self }
    }
}

fn neighbours(plan: &Plan) -> String {
    match (plan.before, plan.after) {
        (Some(before), Some(after)) => format!("its instants around it are {} and {}", shown(before), shown(after)),
        (None, Some(after)) => format!("its first instant is {}", shown(after)),
        (Some(before), None) => format!("its last instant is {}", shown(before)),
        (None, None) => "it has no instants at all".to_owned(),
    }
}

fn whole(at: DateTime<Utc>, now: DateTime<Utc>) -> std::time::Duration {
    std::time::Duration::from_secs((at - now).num_seconds().unsigned_abs())
}

/// An instant as short as it can be exactly.
fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use sexton_entities::states::{Outcome, TaskState, Verdict};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    const AT: &str = "2026-11-21T10:00:00Z";

    fn entry(due_at: &str, fate: Fate, reason: Option<&str>) -> occurrence::Model {
        occurrence::Model {
            schedule: "s".into(),
            due_at: at(due_at),
            fate,
            reason: reason.map(str::to_owned),
            node: "n".into(),
            entry: "e".into(),
            entered_at: at(due_at),
        }
    }

    fn known() -> Known {
        let seen =
            Seen { created_at: at("2026-11-20T00:00:00Z"), last_at: at("2026-11-21T09:00:00Z"), is_paused: false };
        let (before, after) = (Some(at("2026-11-21T09:00:00Z")), Some(at("2026-11-21T11:00:00Z")));
        Known { seen: Some(seen), plan: Some(Plan { is_expected: true, before, after }), ..Known::default() }
    }

    fn with(occurrence: occurrence::Model) -> Known {
        Known { occurrence: Some(occurrence), ..known() }
    }

    fn told(known: &Known, now: &str) -> String {
        known.sentence("s", at(AT), at(now))
    }

    #[test]
    fn what_is_in_the_ledger_is_told_from_it() {
        let now = "2026-11-21T12:00:00Z";
        let fired = with(entry(AT, Fate::Fired, None));
        let gone = "s ran at 2026-11-21T10:00:00Z, on time, as a task that is not on record any more";
        assert_eq!(told(&fired, now), gone);
        let late = with(entry(AT, Fate::Late, Some("late by 3m: no node entered it in time")));
        assert!(
            told(&late, now)
                .starts_with("s ran for 2026-11-21T10:00:00Z, late by 3m: no node entered it in time, as a")
        );
        let coalesced = with(entry(AT, Fate::Coalesced, Some("coalesced into the run of X")));
        assert!(told(&coalesced, now).ends_with("itself: coalesced into the run of X"));
        let skipped = with(entry(AT, Fate::Skipped, Some("the schedule is paused")));
        assert_eq!(told(&skipped, now), "s was skipped at 2026-11-21T10:00:00Z: the schedule is paused");
    }

    #[test]
    fn the_task_is_told_with_what_became_of_it() {
        let now = "2026-11-21T12:00:00Z";
        let run = history::Model {
            id: 1,
            task_id: Some(7),
            name: "s".into(),
            kind: None,
            queue: None,
            schedule: Some("s".into()),
            due_at: Some(at(AT)),
            enqueued_at: None,
            started_at: None,
            finished_at: at(AT),
            duration_ms: Some(2_000),
            node: None,
            attempt: 1,
            outcome: Outcome::Succeeded,
            verdict: Some(Verdict::Completed),
            exit_code: None,
            signal: None,
            error: None,
            payload: None,
            fence: 1,
            core_dumped: None,
            cpu_user_ms: None,
            cpu_system_ms: None,
            peak_memory: None,
            output_bytes: None,
            result: None,
        };
        let done = Known { run: Some(run.clone()), ..with(entry(AT, Fate::Fired, None)) };
        assert!(
            told(&done, now).ends_with("on time, as task 7, which was completed after 2.0 s"),
            "{}",
            told(&done, now)
        );
        let failed = history::Model { verdict: Some(Verdict::Discarded), error: Some("exit code 1".into()), ..run };
        let failed = Known { run: Some(failed), ..with(entry(AT, Fate::Fired, None)) };
        assert!(told(&failed, now).ends_with("as task 7, which was discarded after 2.0 s: exit code 1"));
        let task = task::Model {
            id: 8,
            name: "s".into(),
            queue: None,
            state: TaskState::Running,
            priority: 0,
            payload: None,
            run_at: at(AT),
            unique_key: None,
            attempt: 1,
            max_attempts: None,
            fence: 1,
            schedule: Some("s".into()),
            due_at: Some(at(AT)),
            enqueued_at: at(AT),
            started_at: None,
            node: None,
            cancel_requested_at: None,
            progress: None,
        };
        let running = Known { task: Some(task), ..with(entry(AT, Fate::Fired, None)) };
        assert!(told(&running, now).ends_with("as task 8, which is running"));
    }

    #[test]
    fn what_is_not_in_the_ledger_is_told_from_the_plan() {
        let late = "2026-11-21T12:00:00Z";
        assert!(told(&known(), late).contains("no node was there that has this schedule"));
        assert!(told(&known(), "2026-11-21T10:00:20Z").contains("no node has entered it yet"));
        assert_eq!(told(&known(), "2026-11-21T09:30:00Z"), "s is not due yet: 2026-11-21T10:00:00Z is 30m ahead");
        let mut other = known();
        other.seen = other.seen.map(|seen| Seen { is_paused: true, ..seen });
        assert!(told(&other, "2026-11-21T09:30:00Z").ends_with("30m ahead, and the schedule is paused"));
        other.seen = other.seen.map(|seen| Seen { created_at: at("2026-11-21T11:30:00Z"), ..seen });
        assert!(told(&other, late).contains("it is newer, and was first seen at 2026-11-21T11:30:00Z"));
        other.seen = known().seen.map(|seen| Seen { last_at: at("2026-11-21T11:00:00Z"), ..seen });
        assert!(told(&other, late).starts_with("nothing is on record"));
        let next = entry("2026-11-21T10:30:00Z", Fate::Coalesced, Some("coalesced into X; and 25 before it"));
        let summed = told(&other.clone().with_sum(Some(next)), late);
        assert!(
            summed.ends_with("in the entry of 2026-11-21T10:30:00Z: coalesced into X; and 25 before it"),
            "{summed}"
        );
        let next = entry("2026-11-21T10:30:00Z", Fate::Coalesced, Some("coalesced into X"));
        assert!(told(&other.with_sum(Some(next)), late).starts_with("nothing is on record"));
        let unseen = Known { seen: None, ..known() };
        assert!(told(&unseen, late).contains("no node has seen this schedule yet"));
    }

    #[test]
    fn what_is_not_expected_is_told_with_its_neighbours() {
        let mut other = known();
        other.plan = other.plan.map(|plan| Plan { is_expected: false, ..plan });
        let expected = "s is not expected at 2026-11-21T10:00:00Z: its instants around it are 2026-11-21T09:00:00Z and \
                        2026-11-21T11:00:00Z";
        assert_eq!(told(&other, "2026-11-21T12:00:00Z"), expected);
    }
}
