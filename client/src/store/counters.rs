//! What the store counts.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::isolated_faults::Isolated;

/// What the store does for the daemon: one transaction or statement each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Enqueues tasks.
    Enqueue,
    /// Looks whether there is anything to do.
    Peek,
    /// Claims tasks.
    Claim,
    /// Records attempts that have ended.
    Finish,
    /// Makes due tasks available.
    Promote,
    /// Enters instants of schedules, with their tasks.
    Schedule,
    /// Extends the lease of the node.
    Heartbeat,
    /// Releases tasks of dead nodes.
    Rescue,
    /// Deletes old history.
    Prune,
}

/// How often something was done, and how long that took.
#[derive(Debug, Default)]
pub(super) struct Times {
    count: AtomicU64,
    micros: AtomicU64,
}

/// The store's own counters, since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Transactions that were repeated.
    pub(super) retried: AtomicU64,
    /// What was isolated because it is bad.
    pub(super) isolated: Isolated,
    operations: [Times; Operation::ALL.len()],
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Enqueue,
        Self::Peek,
        Self::Claim,
        Self::Finish,
        Self::Promote,
        Self::Schedule,
        Self::Heartbeat,
        Self::Rescue,
        Self::Prune,
    ];

    /// Its word, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Peek => "peek",
            Self::Claim => "claim",
            Self::Finish => "finish",
            Self::Promote => "promote",
            Self::Schedule => "schedule",
            Self::Heartbeat => "heartbeat",
            Self::Rescue => "rescue",
            Self::Prune => "prune",
        }
    }
}

impl Times {
    /// Counts something that took so long.
    pub(super) fn note(&self, took: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How often it was done, and how long that took together.
    pub(super) fn value(&self) -> (u64, Duration) {
        (self.count.load(Relaxed), Duration::from_micros(self.micros.load(Relaxed)))
    }
}

impl Counters {
    /// Counts an operation that took so long.
    pub(super) fn note(&self, operation: Operation, took: Duration) {
        self.operations[operation as usize].note(took);
    }

    /// How often each operation was done, and how long that took together.
    pub(super) fn operations(&self) -> impl Iterator<Item = (Operation, u64, Duration)> {
        Operation::ALL.into_iter().zip(&self.operations).map(|(operation, times)| {
            let (count, time) = times.value();
            (operation, count, time)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_a_place_and_a_word_of_its_own() {
        let words: std::collections::HashSet<&str> =
            Operation::ALL.iter().map(|operation| operation.as_str()).collect();
        assert_eq!(words.len(), Operation::ALL.len());
        assert!(Operation::ALL.iter().enumerate().all(|(place, operation)| *operation as usize == place));
    }
}
