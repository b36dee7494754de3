//! How many attempts have ended since the daemon's start, how long they took, and how late schedules began.
//!
//! An attempt that ends costs a look-up under a read lock and a few additions to atomic numbers. Everything else is done
//! when the metrics are read.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::RwLock;
use sexton_entities::states::Outcome;

use crate::domain::{command::Usage, task::FinishedAttempt};

/// Upper bounds of the buckets, in seconds. What takes longer is in the last bucket, which has no bound.
pub(in crate::daemon) const BOUNDS: [f64; 14] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 43_200.0, 86_400.0];
/// Upper bounds of the buckets for memory, in bytes.
const MEMORY_BOUNDS: [f64; 9] = [
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
    17_179_869_184.0,
    68_719_476_736.0,
];
/// Maximum number of task names that are counted by themselves.
pub(in crate::daemon) const MAX_NAMES: usize = 200;
/// All names beyond that number.
pub(in crate::daemon) const OTHER: &str = "other";

/// The counts. Clones share them.
#[derive(Clone, Default)]
pub(in crate::daemon) struct AttemptCounts {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    tasks: RwLock<HashMap<String, Arc<TaskCounts>>>,
    claimed: AtomicU64,
}

/// The counts of one task name.
#[derive(Default)]
struct TaskCounts {
    durations: [OnceLock<Histogram>; Outcome::ALL.len()],
    delays: OnceLock<Histogram>,
    commands: OnceLock<CommandCounts>,
}

/// What commands used.
#[derive(Default)]
struct CommandCounts {
    user_millis: AtomicU64,
    system_millis: AtomicU64,
    memory: [AtomicU64; MEMORY_BOUNDS.len() + 1],
    memory_bytes: AtomicU64,
}

/// Durations by size.
#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// Durations or sizes, as they were at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::daemon) struct HistogramValue {
    /// The upper bounds of all buckets but the last.
    pub(in crate::daemon) bounds: &'static [f64],
    /// How many are in each bucket, not counting those below.
    pub(in crate::daemon) buckets: Vec<u64>,
    /// Their sum, in seconds or bytes.
    pub(in crate::daemon) sum: f64,
}

/// What the commands of one task name used, as it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::daemon) struct CommandFigures {
    /// CPU time in user mode and in the kernel, in seconds.
    pub(in crate::daemon) cpu: [(&'static str, f64); 2],
    /// The largest resident memory of one process of each command, in bytes.
    pub(in crate::daemon) memory: HistogramValue,
}

/// The counts of one task name, as they were at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::daemon) struct TaskFigures {
    pub(in crate::daemon) name: String,
    pub(in crate::daemon) durations: Vec<(Outcome, HistogramValue)>,
    /// From the due instants of its schedule to the beginnings of first attempts.
    pub(in crate::daemon) delays: Option<HistogramValue>,
    pub(in crate::daemon) commands: Option<CommandFigures>,
}

impl Histogram {
    fn note(&self, length: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < length.as_secs_f64());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(length.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn value(&self) -> HistogramValue {
        HistogramValue {
            bounds: &BOUNDS,
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum: self.micros.load(Relaxed) as f64 / 1e6,
        }
    }
}

impl CommandCounts {
    fn note(&self, usage: &Usage) {
        self.user_millis.fetch_add(usage.user_ms.max(0).unsigned_abs(), Relaxed);
        self.system_millis.fetch_add(usage.system_ms.max(0).unsigned_abs(), Relaxed);
        let bytes = usage.peak_memory.max(0).unsigned_abs();
        let bucket = MEMORY_BOUNDS.partition_point(|bound| *bound < bytes as f64);
        self.memory[bucket].fetch_add(1, Relaxed);
        self.memory_bytes.fetch_add(bytes, Relaxed);
    }

    fn value(&self) -> CommandFigures {
        let seconds = |millis: &AtomicU64| millis.load(Relaxed) as f64 / 1e3;
        let memory = HistogramValue {
            bounds: &MEMORY_BOUNDS,
            buckets: self.memory.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum: self.memory_bytes.load(Relaxed) as f64,
        };
        CommandFigures { cpu: [("user", seconds(&self.user_millis)), ("system", seconds(&self.system_millis))], memory }
    }
}

impl AttemptCounts {
    /// Counts claimed tasks.
    pub(in crate::daemon) fn note_claimed(&self, tasks: usize) {
        self.counts.claimed.fetch_add(tasks as u64, Relaxed);
    }

    /// How many tasks were claimed.
    pub(in crate::daemon) fn claimed(&self) -> u64 {
        self.counts.claimed.load(Relaxed)
    }

    /// Counts an attempt that has ended after `took`.
    pub(in crate::daemon) fn note(&self, finished: &FinishedAttempt, took: Duration) {
        let counts = self.of(&finished.name);
        if let Some(place) = Outcome::ALL.iter().position(|outcome| *outcome == finished.outcome) {
            counts.durations[place].get_or_init(Histogram::default).note(took);
        }
        // A later attempt waits for its retry, and not for a worker.
        if let Some(due) = finished.due_at.filter(|_| finished.attempt == 1) {
            let delay = (finished.started_at - due).to_std().unwrap_or_default();
            counts.delays.get_or_init(Histogram::default).note(delay);
        }
        if let Some(usage) = &finished.report.usage {
            counts.commands.get_or_init(CommandCounts::default).note(usage);
        }
    }

    fn of(&self, name: &str) -> Arc<TaskCounts> {
        if let Some(known) = self.counts.tasks.read().get(name) {
            return known.clone();
        }
        let mut tasks = self.counts.tasks.write();
        let name = if tasks.len() < MAX_NAMES { name } else { OTHER };
        tasks.entry(name.to_owned()).or_default().clone()
    }

    /// The figures of each name, by name.
    pub(in crate::daemon) fn figures(&self) -> Vec<TaskFigures> {
        let tasks = self.counts.tasks.read();
        let figures = |(name, counts): (&String, &Arc<TaskCounts>)| TaskFigures {
            name: name.clone(),
            durations: Outcome::ALL
                .iter()
                .zip(&counts.durations)
                .filter_map(|(outcome, durations)| Some((*outcome, durations.get()?.value())))
                .collect(),
            delays: counts.delays.get().map(Histogram::value),
            commands: counts.commands.get().map(CommandCounts::value),
        };
        let mut all: Vec<TaskFigures> = tasks.iter().map(figures).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{clock::machine_time, domain::task::ClaimedTask};

    fn ended(name: &str) -> FinishedAttempt {
        let task = ClaimedTask { name: name.to_owned(), ..ClaimedTask::sample(1) };
        task.interrupted(&"n".into(), None, "", machine_time(), Duration::ZERO)
    }

    #[test]
    fn attempts_are_counted_by_name_outcome_and_length() {
        let counts = AttemptCounts::default();
        for millis in [5, 10, 11, 90_000_000] {
            counts.note(&ended("a"), Duration::from_millis(millis));
        }
        counts.note(&FinishedAttempt { outcome: Outcome::Failed, ..ended("a") }, Duration::ZERO);
        let figures = counts.figures().remove(0);
        let [(Outcome::Failed, failed), (Outcome::Interrupted, lengths)] = &figures.durations[..] else {
            panic!("{figures:?}")
        };
        assert_eq!((failed.buckets[0], failed.sum), (1, 0.0));
        assert_eq!((lengths.buckets[0], lengths.buckets[1], lengths.buckets[14]), (2, 1, 1), "a bound is inside");
        assert_eq!((lengths.buckets.iter().sum::<u64>(), lengths.sum), (4, 90_000.026));
        assert_eq!(figures.delays, None);
    }

    #[test]
    fn only_the_first_attempt_for_an_instant_has_a_delay() {
        let counts = AttemptCounts::default();
        let first = FinishedAttempt { attempt: 1, ..ended("a") };
        let late = FinishedAttempt { due_at: Some(first.started_at - TimeDelta::seconds(2)), ..first };
        counts.note(&late, Duration::ZERO);
        counts.note(&FinishedAttempt { attempt: 2, ..late.clone() }, Duration::ZERO);
        let early = FinishedAttempt { due_at: Some(late.started_at + TimeDelta::seconds(2)), ..late };
        counts.note(&early, Duration::ZERO);
        let delays = counts.figures().remove(0).delays.expect("delays");
        assert_eq!((delays.buckets.iter().sum::<u64>(), delays.sum), (2, 2.0));
    }

    #[test]
    fn what_commands_used_is_counted() {
        let counts = AttemptCounts::default();
        counts.note(&ended("noop"), Duration::ZERO);
        for (user_ms, peak_memory) in [(1_500, 5 << 20), (500, 200 << 30)] {
            let mut finished = ended("a");
            finished.report.usage = Some(Usage { user_ms, system_ms: 250, peak_memory, output_bytes: 0 });
            counts.note(&finished, Duration::ZERO);
        }
        let figures = counts.figures();
        assert_eq!(figures[1].commands, None, "no command");
        let used = figures[0].commands.as_ref().expect("commands");
        assert_eq!(used.cpu, [("user", 2.0), ("system", 0.5)]);
        assert_eq!(used.memory.buckets, [0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(used.memory.sum, ((5_u64 << 20) + (200 << 30)) as f64);
    }

    #[test]
    fn names_beyond_the_limit_are_counted_together() {
        let counts = AttemptCounts::default();
        for number in 0..MAX_NAMES + 50 {
            counts.note(&ended(&format!("task-{number}")), Duration::ZERO);
        }
        let figures = counts.figures();
        assert_eq!(figures.len(), MAX_NAMES + 1);
        let other = figures.iter().find(|figures| figures.name == OTHER).expect("the rest");
        assert_eq!(other.durations[0].1.buckets[0], 50);
    }
}
