//! What became of an expected instant of a schedule, and why: from what is on record, and nothing that is not.
//!
//! One rule for `schedule why`, `schedule show` and `history --schedule`. Where the tables do not know a cause, that is said.

mod missing;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sexton_entities::{
    history, node, occurrence, schedule,
    states::{Fate, Outcome, TaskState, Verdict},
    task,
};

use super::{Schedule, held_until, policy, was_outside};
use crate::domain::{period::Period, text::duration};

/// The neighbour before an instant is looked for as far back as this: February 29th may be eight years ago.
const FAR: TimeDelta = TimeDelta::days(3_000);

/// What is known of a schedule, whichever of its instants is asked about.
#[derive(Clone, Debug, Default)]
pub struct Background<'a> {
    /// Its name.
    pub name: &'a str,
    /// The schedule, as the database has it; none if no node has seen it yet.
    pub seen: Option<schedule::Model>,
    /// The schedule, as the configuration has it.
    pub schedule: Option<&'a Schedule>,
    /// Its period.
    pub period: Option<&'a Period>,
    /// The daemons, as they have signed in.
    pub nodes: Vec<node::Model>,
    /// The configuration switches the daemon module off that fires schedules.
    pub is_cron_off: bool,
    /// How long history and the ledger are kept.
    pub keep: Duration,
    /// How many of its tasks may run at once.
    pub max_parallel: Option<usize>,
    /// Queues that are shut now, and why.
    pub shut: BTreeMap<String, String>,
    /// The database's time.
    pub now: DateTime<Utc>,
}

/// What is known of one instant.
#[derive(Clone, Debug, Default)]
pub struct InstantRecord {
    /// What the ledger says of it.
    pub entry: Option<occurrence::Model>,
    /// The next entry after it.
    pub next: Option<occurrence::Model>,
    /// Its run.
    pub run: Run,
    /// The entry of the instant that it was coalesced into, and its run.
    pub into: Option<(occurrence::Model, Run)>,
}

/// The task of an instant.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The task, if that is not finished.
    pub task: Option<task::Model>,
    /// The latest attempt at it that decided something.
    pub attempt: Option<history::Model>,
}

/// What became of an instant, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// Its task was enqueued on time.
    Fired,
    /// Its task was enqueued late.
    Late,
    /// Its task was made to wait until the period begins.
    Held,
    /// A later one ran in its place.
    Coalesced,
    /// It was skipped on purpose.
    Skipped,
    /// Nobody has dealt with it, and why is known.
    NotRun,
    /// It has come just now.
    Due,
    /// It has not come yet.
    Ahead,
    /// The schedule has no such instant.
    NotExpected,
    /// Nothing is on record, and why is not known.
    NotKnown,
}

/// What became of an instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// The schedule.
    pub schedule: String,
    /// The instant.
    pub due_at: DateTime<Utc>,
    /// What became of it.
    pub became: Became,
    /// Why, in one sentence.
    pub why: String,
    /// The same without what it is about.
    #[serde(skip)]
    pub words: String,
    /// The instant is one of the schedule's; none if the configuration has no such schedule.
    pub expected: Option<bool>,
    /// What the ledger says.
    pub fate: Option<Fate>,
    /// What the ledger says of the cause.
    pub reason: Option<String>,
    /// The instant that ran in its place.
    pub into: Option<DateTime<Utc>>,
    /// Until when it was held.
    pub held_until: Option<DateTime<Utc>>,
    /// The task; of a coalesced instant, that of the one that ran in its place.
    pub task_id: Option<i64>,
    /// Where the task stands, while it is not finished.
    pub state: Option<TaskState>,
    /// How the latest attempt ended.
    pub outcome: Option<Outcome>,
    /// What was decided on it.
    pub verdict: Option<Verdict>,
    /// Who entered it in the ledger.
    pub node: Option<String>,
    /// When.
    pub entered_at: Option<DateTime<Utc>>,
}

impl Background<'_> {
    /// What became of an instant. `expected`: it is one of the schedule's, where that is known.
    pub fn account(&self, at: DateTime<Utc>, expected: Option<bool>, known: &InstantRecord) -> Account {
        let (became, words) = match &known.entry {
            Some(entry) => self.of_entry(entry, known),
            None => self.without_entry(at, expected, known),
        };
        let reason = known.entry.as_ref().and_then(|entry| entry.reason.clone());
        let run = if became == Became::Coalesced { known.into.as_ref().map(|(_, run)| run) } else { Some(&known.run) };
        let attempt = run.and_then(|run| run.attempt.as_ref());
        Account {
            schedule: self.name.to_owned(),
            due_at: at,
            became,
            why: self.sentence(at, became, &words),
            words,
            expected,
            fate: known.entry.as_ref().map(|entry| entry.fate),
            into: known.coalesced_into().filter(|_| became == Became::Coalesced),
            held_until: reason.as_deref().and_then(held_until),
            reason,
            task_id: run.and_then(Run::id),
            state: run.and_then(|run| run.task.as_ref()).map(|task| task.state),
            outcome: attempt.map(|run| run.outcome),
            verdict: attempt.and_then(|run| run.verdict),
            node: known.entry.as_ref().map(|entry| entry.node.clone()),
            entered_at: known.entry.as_ref().map(|entry| entry.entered_at),
        }
    }

    /// The instants before and after one; what is in between is not expected.
    pub fn neighbours(&self, at: DateTime<Utc>) -> (Option<DateTime<Utc>>, Option<bool>, Option<DateTime<Utc>>) {
        let around = self.schedule.map(|schedule| schedule.around(at, at - FAR));
        around.map_or((None, None, None), |(before, is_own, after)| (before, Some(is_own), after))
    }

    /// The instants that should have come by now, the oldest first: the latest `most` from `since` on.
    pub fn expected(&self, since: Option<DateTime<Utc>>, most: usize) -> Vec<DateTime<Utc>> {
        let (Some(schedule), Some(seen)) = (self.schedule, &self.seen) else { return Vec::new() };
        let before = |since: DateTime<Utc>| since - TimeDelta::microseconds(1);
        let since = since.map_or(seen.created_at, |since| before(since).max(seen.created_at));
        schedule.latest_between(since.min(self.now), self.now, most)
    }

    fn sentence(&self, at: DateTime<Utc>, became: Became, words: &str) -> String {
        let (name, at) = (self.name, shown(at));
        match became {
            Became::Fired => format!("{name} ran at {at}, {words}"),
            Became::Late => format!("{name} ran for {at}, {words}"),
            Became::Held | Became::Coalesced => format!("{name} did not run at {at} itself: {words}"),
            Became::Skipped => format!("{name} was skipped at {at}: {words}"),
            Became::NotRun => format!("{name} did not run at {at}: {words}"),
            Became::Due => format!("{name} is due since {at}, {words}"),
            Became::Ahead => format!("{name} is not due yet: {at} is {words}"),
            Became::NotExpected => format!("{name} is not expected at {at}: {words}"),
            Became::NotKnown => format!("it is not known what became of {name} at {at}: {words}"),
        }
    }

    /// What the ledger says.
    fn of_entry(&self, entry: &occurrence::Model, known: &InstantRecord) -> (Became, String) {
        let mut words = entry.reason.clone().unwrap_or_else(|| "no reason is on record".to_owned());
        let is_held = held_until(&words).is_some();
        if was_outside(&words) {
            words += &self.gap(entry.due_at);
        }
        let node = self.nodes.iter().find(|node| node.id == entry.node && node.started_at > entry.due_at);
        let since = node.map(|node| format!("; {}, which entered it, is up since {}", node.id, shown(node.started_at)));
        let since = since.unwrap_or_default();
        match entry.fate {
            Fate::Fired if entry.reason.is_none() => (Became::Fired, format!("on time, {}", self.told(&known.run))),
            Fate::Fired | Fate::Late => {
                let became = match entry.fate {
                    _ if is_held => Became::Held,
                    Fate::Fired => Became::Fired,
                    _ => Became::Late,
                };
                (became, format!("{words}{since}, {}", self.told(&known.run)))
            }
            Fate::Coalesced => (Became::Coalesced, format!("{words}{}{since}", self.told_of_other(known))),
            Fate::Skipped => (Became::Skipped, format!("{words}{since}")),
        }
    }

    /// What became of that into which an instant was coalesced.
    fn told_of_other(&self, known: &InstantRecord) -> String {
        match &known.into {
            Some((entry, run)) if policy::runs(entry.fate) => format!(", {}", self.told(run)),
            Some((entry, _)) => {
                format!(", which was skipped itself: {}", entry.reason.as_deref().unwrap_or("no reason is on record"))
            }
            None => String::new(),
        }
    }

    /// Which ranges of the period are around an instant outside it.
    fn gap(&self, at: DateTime<Utc>) -> String {
        match (self.period, self.period.and_then(|period| period.gap_in_words(at))) {
            (None, _) => String::new(),
            (Some(_), Some(words)) => format!(": {words}"),
            (Some(_), None) => ", which is written otherwise by now".to_owned(),
        }
    }

    /// What became of a task.
    fn told(&self, run: &Run) -> String {
        match (&run.task, &run.attempt) {
            (Some(task), _) => {
                let shut = task.queue.as_ref().filter(|_| task.state == TaskState::Available);
                let shut = shut.and_then(|queue| Some(format!("; queue {queue} is {}", self.shut.get(queue)?)));
                let bound = self.max_parallel.filter(|_| shut.is_none() && task.state == TaskState::Available);
                let bound = bound.map(|most| format!("; at most {most} of {} run at once", task.name));
                format!("as task {}, which is {}{}", task.id, task.state, shut.or(bound).unwrap_or_default())
            }
            (None, Some(run)) => {
                let task = run.task_id.map(|id| id.to_string()).unwrap_or_default();
                let end = run.verdict.map_or(run.outcome.as_str(), |verdict| verdict.as_str());
                let took =
                    run.duration_ms.map(|millis| format!(" after {}", duration::short(millis))).unwrap_or_default();
                let error = run.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                format!("as task {task}, which was {end}{took}{error}")
            }
            (None, None) => "as a task that is not on record any more".to_owned(),
        }
    }
}

impl InstantRecord {
    /// The instant that ran in its place, as its entry says, or that in which it is summed up.
    pub fn coalesced_into(&self) -> Option<DateTime<Utc>> {
        coalesced_into(self.entry.as_ref().or(self.sum())?.reason.as_deref()?)
    }

    /// The next entry, if that one stands for earlier ones as well.
    fn sum(&self) -> Option<&occurrence::Model> {
        self.next.as_ref().filter(|entry| entry.reason.as_deref().is_some_and(policy::sums_up))
    }
}

impl Run {
    /// The task's number.
    pub fn id(&self) -> Option<i64> {
        self.task.as_ref().map(|task| task.id).or_else(|| self.attempt.as_ref().and_then(|attempt| attempt.task_id))
    }
}

impl Became {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Late => "late",
            Self::Held => "held",
            Self::Coalesced => "coalesced",
            Self::Skipped => "skipped",
            Self::NotRun => "did not run",
            Self::Due => "due",
            Self::Ahead => "ahead",
            Self::NotExpected => "not expected",
            Self::NotKnown => "not known",
        }
    }
}

/// The instant that ran in the place of another one, as the reason of that one's entry says.
fn coalesced_into(reason: &str) -> Option<DateTime<Utc>> {
    let (_, rest) = reason.split_once("coalesced into the run of ")?;
    rest.split([';', ' ']).next()?.parse().ok()
}

/// An instant as short as it can be exactly.
fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests;
