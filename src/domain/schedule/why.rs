//! What happened to an instant of a schedule, and why: from what is on record, without guesses.
//!
//! One rule for `schedule why`, `schedule show` and `history --schedule`. If the tables do not show a cause, the answer
//! says so.

mod missing;
mod run;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sexton_entities::{
    node, occurrence, schedule,
    states::{Fate, Outcome, TaskState, Verdict},
    task,
};

use self::run::Begin;
pub use self::run::Run;
use super::{
    Schedule, missed_policy,
    reason::{self, ON_TIME, Reason, StandsFor, columns::ReasonColumns, shown},
};
use crate::domain::{
    period::Period,
    task::{
        limit_key::KeyPath,
        waiting::{ClusterQueues, LocalRules, WaitCause, whole},
    },
    text::duration,
};

/// How far back the search for the neighbour before an instant goes: February 29th may be eight years ago.
const FAR: TimeDelta = TimeDelta::days(3_000);

/// What is known about a schedule, independent of the instant in question.
#[derive(Clone, Debug, Default)]
pub struct Background<'a> {
    /// Name of the schedule.
    pub name: &'a str,
    /// Its row in the database. `None` if no node has entered it yet.
    pub seen: Option<schedule::Model>,
    /// The schedule in the configuration. `None` if the configuration does not have it.
    pub schedule: Option<&'a Schedule>,
    /// The period of the schedule in the configuration.
    pub period: Option<&'a Period>,
    /// The registered nodes.
    pub nodes: Vec<node::Model>,
    /// The configuration disables the daemon module `cron`, which fires schedules.
    pub is_cron_off: bool,
    /// The configuration disables its task, so that it fires nothing.
    pub is_silent: bool,
    /// Since when everything is paused, if it is.
    pub all_paused_since: Option<DateTime<Utc>>,
    /// Since when a maintenance is on, if one is.
    pub maintenance_since: Option<DateTime<Utc>>,
    /// How long the database keeps history and ledger.
    pub keep: Duration,
    /// The `max_parallel` of its task.
    pub max_parallel: Option<usize>,
    /// What that counts by, if it does not count all tasks of the name.
    pub max_parallel_by: Option<KeyPath>,
    /// What the configuration says about its queues: whether they are closed now, and their limits.
    pub queue_rules: BTreeMap<String, LocalRules>,
    /// The queues of the cluster now. `None` if they are not known.
    pub cluster: Option<ClusterQueues>,
    /// Database time.
    pub now: DateTime<Utc>,
}

/// What is known about one instant.
#[derive(Clone, Debug, Default)]
pub struct InstantRecord {
    /// Its entry in the ledger.
    pub entry: Option<occurrence::Model>,
    /// The next entry of the same schedule.
    pub next: Option<occurrence::Model>,
    /// Its run.
    pub run: Run,
    /// The entry and the run of the instant that it was coalesced into.
    pub into: Option<(occurrence::Model, Run)>,
}

/// What happened to an instant, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// Its task was enqueued on time.
    Fired,
    /// Its task was enqueued late.
    Late,
    /// Its task was enqueued and waits until the period begins.
    Held,
    /// A later instant ran in its place.
    Coalesced,
    /// It was skipped on purpose.
    Skipped,
    /// No node entered it, and the cause is known.
    NotRun,
    /// It has just come, and nodes still have time to enter it.
    Due,
    /// It is in the future.
    Ahead,
    /// The schedule has no such instant.
    NotExpected,
    /// There is no record, and the cause is unknown.
    NotKnown,
}

/// What happened to an instant, with the evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// Name of the schedule.
    pub schedule: String,
    /// The instant.
    pub due_at: DateTime<Utc>,
    /// What happened to it.
    pub became: Became,
    /// The answer in one sentence.
    pub why: String,
    /// The sentence without its beginning, which names the schedule and the instant.
    #[serde(skip)]
    pub words: String,
    /// Whether the instant is one of the schedule's. `None` if the configuration does not have the schedule.
    pub expected: Option<bool>,
    /// The decision in the ledger.
    pub fate: Option<Fate>,
    /// The reason in the ledger as a sentence.
    pub reason: Option<String>,
    /// The reason in the ledger as typed values.
    #[serde(flatten)]
    pub columns: ReasonColumns,
    /// Number of earlier instants that its entry also accounts for.
    pub stands_for: Option<i64>,
    /// There are more than `stands_for` of them.
    pub stands_for_more: Option<bool>,
    /// The instant that ran in its place, from its own entry or the entry that stands for it.
    pub into: Option<DateTime<Utc>>,
    /// Its task. For a coalesced instant, the task of the instant that ran in its place.
    pub task_id: Option<i64>,
    /// State of the task, until it is finished.
    pub state: Option<TaskState>,
    /// Outcome of the latest attempt that had a verdict.
    pub outcome: Option<Outcome>,
    /// Verdict on that attempt.
    pub verdict: Option<Verdict>,
    /// The node that entered it in the ledger.
    pub node: Option<String>,
    /// Database time at which it was entered in the ledger, with its task: the enqueue.
    pub entered_at: Option<DateTime<Utc>>,
    /// When its task began.
    pub began_at: Option<DateTime<Utc>>,
    /// Why its task has not begun although it may, as a word.
    pub waits_code: Option<&'static str>,
}

impl Background<'_> {
    /// What happened to an instant. `expected`: whether it is one of the schedule's, if that is known.
    pub fn account(&self, at: DateTime<Utc>, expected: Option<bool>, known: &InstantRecord) -> Account {
        let (became, words) = match &known.entry {
            Some(entry) => self.of_entry(entry, known),
            None => self.without_entry(at, expected, known),
        };
        let entry = known.entry.as_ref();
        let begin = entry.map_or(Begin::AtOnce, |entry| Begin::between(&known.run, entry.entered_at));
        let run = if became == Became::Coalesced { known.into.as_ref().map(|(_, run)| run) } else { Some(&known.run) };
        let attempt = run.and_then(|run| run.attempt.as_ref());
        Account {
            schedule: self.name.to_owned(),
            due_at: at,
            became,
            why: self.sentence(at, became, &words, begin),
            words,
            expected,
            fate: entry.map(|entry| entry.fate),
            reason: entry.and_then(|entry| reason::sentence(Reason::of(entry).as_ref(), StandsFor::of(entry))),
            columns: entry.map(ReasonColumns::from).unwrap_or_default(),
            stands_for: entry.map(|entry| entry.stands_for),
            stands_for_more: entry.map(|entry| entry.stands_for_more),
            into: known.coalesced_into().filter(|_| became == Became::Coalesced),
            task_id: run.and_then(Run::id),
            state: run.and_then(|run| run.task.as_ref()).map(|task| task.state),
            outcome: attempt.map(|run| run.outcome),
            verdict: attempt.and_then(|run| run.verdict),
            node: entry.map(|entry| entry.node.clone()),
            entered_at: entry.map(|entry| entry.entered_at),
            began_at: run.and_then(Run::began_at),
            waits_code: run.and_then(|run| self.cause(run.task.as_ref()?)).map(|cause| cause.code()),
        }
    }

    /// The schedule's instants before and after `at`, and between them whether `at` is one itself, if that is known.
    pub fn neighbours(&self, at: DateTime<Utc>) -> (Option<DateTime<Utc>>, Option<bool>, Option<DateTime<Utc>>) {
        let around = self.schedule.map(|schedule| schedule.around(at, at - FAR));
        around.map_or((None, None, None), |(before, is_own, after)| (before, Some(is_own), after))
    }

    /// The latest `most` instants that should have been entered by now, oldest first, none of them before `since`.
    pub fn expected(&self, since: Option<DateTime<Utc>>, most: usize) -> Vec<DateTime<Utc>> {
        let (Some(schedule), Some(seen)) = (self.schedule, &self.seen) else { return Vec::new() };
        let before = |since: DateTime<Utc>| since - TimeDelta::microseconds(1);
        let since = since.map_or(seen.created_at, |since| before(since).max(seen.created_at));
        schedule.latest_between(since.min(self.now), self.now, most)
    }

    fn sentence(&self, at: DateTime<Utc>, became: Became, words: &str, begin: Begin) -> String {
        let (name, at) = (self.name, shown(at));
        match became {
            Became::Fired if begin != Begin::AtOnce => format!("{name} was enqueued at {at}, {words}"),
            Became::Late if begin != Begin::AtOnce => format!("{name} was enqueued for {at}, {words}"),
            Became::Fired => format!("{name} ran at {at}, {words}"),
            Became::Late => format!("{name} ran for {at}, {words}"),
            Became::Held | Became::Coalesced => format!("{name} did not run at {at} itself: {words}"),
            Became::Skipped => format!("{name} was skipped at {at}: {words}"),
            Became::NotRun => format!("{name} did not run at {at}: {words}"),
            Became::Due => format!("{name} has been due since {at}, {words}"),
            Became::Ahead => format!("{name} is not due yet: {at} is {words}"),
            Became::NotExpected => format!("{name} is not expected at {at}: {words}"),
            Became::NotKnown => format!("the record does not show what happened to {name} at {at}: {words}"),
        }
    }

    /// What an entry of the ledger shows.
    fn of_entry(&self, entry: &occurrence::Model, known: &InstantRecord) -> (Became, String) {
        let reason = Reason::of(entry);
        let words = self.entry_words(entry, reason.as_ref());
        let node = self.nodes.iter().find(|node| node.id == entry.node && node.started_at > entry.due_at);
        let since = node
            .map(|node| format!("; node {}, which entered it, has been up since {}", node.id, shown(node.started_at)));
        let since = since.unwrap_or_default();
        match (entry.fate, &reason) {
            (Fate::Fired, None) => {
                (Became::Fired, format!("{words}, {}", self.task_words(&known.run, entry.entered_at)))
            }
            (Fate::Fired | Fate::Late, reason) => {
                let became = match (entry.fate, reason) {
                    (_, Some(Reason::Held { .. })) => Became::Held,
                    (Fate::Fired, _) => Became::Fired,
                    _ => Became::Late,
                };
                (became, format!("{words}{since}, {}", self.task_words(&known.run, entry.entered_at)))
            }
            (Fate::Coalesced, _) => (Became::Coalesced, format!("{words}{}{since}", self.other_words(known))),
            (Fate::Skipped, _) => (Became::Skipped, format!("{words}{since}")),
        }
    }

    /// The reason of an entry, the ranges of the period around its instant, and the instants that it stands for.
    fn entry_words(&self, entry: &occurrence::Model, reason: Option<&Reason>) -> String {
        let mut words = reason.map_or_else(|| ON_TIME.to_owned(), ToString::to_string);
        if reason.is_some_and(Reason::is_outside_period) {
            words += &self.gap(entry.due_at);
        }
        match StandsFor::of(entry) {
            None => words,
            Some(others) => format!("{words}; {others}"),
        }
    }

    /// What happened to the instant that another one was coalesced into.
    fn other_words(&self, known: &InstantRecord) -> String {
        match &known.into {
            Some((entry, run)) if missed_policy::runs(entry.fate) => {
                format!(", {}", self.task_words(run, entry.entered_at))
            }
            Some((entry, _)) => {
                let reason = Reason::of(entry).map(|reason| reason.to_string()).unwrap_or_default();
                format!(", which was skipped itself: {reason}")
            }
            None => String::new(),
        }
    }

    /// The ranges of the period around an instant outside it.
    fn gap(&self, at: DateTime<Utc>) -> String {
        match (self.period, self.period.and_then(|period| period.gap_in_words(at))) {
            (None, _) => String::new(),
            (Some(_), Some(words)) => format!(": {words}"),
            (Some(_), None) => "; the period has been edited since".to_owned(),
        }
    }

    /// What happened to a task that was enqueued at `enqueued_at`.
    fn task_words(&self, run: &Run, enqueued_at: DateTime<Utc>) -> String {
        let began = match Begin::between(run, enqueued_at) {
            Begin::Later(delay) => format!("began {} later, ", whole(delay)),
            _ => String::new(),
        };
        match (&run.task, &run.attempt) {
            (Some(task), _) if task.state == TaskState::Available && run.has_not_begun() => {
                let cause = self.cause(task).map(|cause| format!(": {cause}")).unwrap_or_default();
                format!("as task {}, which has not begun{cause}", task.id)
            }
            (Some(task), _) => {
                let cause = self.cause(task).map(|cause| format!("; {cause}")).unwrap_or_default();
                format!("{began}as task {}, which is {}{cause}", task.id, task.state)
            }
            (None, Some(run)) => {
                let task = run.task_id.map(|id| id.to_string()).unwrap_or_default();
                let end = match (run.outcome, run.verdict) {
                    (Outcome::Skipped, _) => Outcome::Skipped.as_str(),
                    (outcome, verdict) => verdict.map_or(outcome.as_str(), |verdict| verdict.as_str()),
                };
                let took =
                    run.duration_ms.map(|millis| format!(" after {}", duration::short(millis))).unwrap_or_default();
                let error = run.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                format!("{began}as task {task}, which was {end}{took}{error}")
            }
            (None, None) => "as a task that is no longer on record".to_owned(),
        }
    }

    /// Why a task that waits for a worker has not begun.
    fn cause(&self, task: &task::Model) -> Option<WaitCause> {
        let cluster = self.cluster.as_ref().filter(|_| task.state == TaskState::Available)?;
        let queue = task.queue.as_deref();
        let rules = queue.and_then(|queue| self.queue_rules.get(queue)).cloned().unwrap_or_default();
        let rules = rules.for_task(self.max_parallel, self.max_parallel_by.as_ref(), task);
        cluster.cause(queue, &task.name, rules, self.now)
    }
}

impl InstantRecord {
    /// The instant that ran in its place, from its own entry or the entry that stands for it.
    pub fn coalesced_into(&self) -> Option<DateTime<Utc>> {
        self.entry.as_ref().or(self.standing())?.coalesced_into
    }

    /// The next entry, if that one stands for earlier instants.
    fn standing(&self) -> Option<&occurrence::Model> {
        self.next.as_ref().filter(|entry| StandsFor::of(entry).is_some())
    }
}

impl Became {
    /// The word for people. In JSON it is the variant in snake case.
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

#[cfg(test)]
mod begin_tests;
#[cfg(test)]
mod tests;
