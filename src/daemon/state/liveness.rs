//! Liveness: signs of life of the vital modules, for a watchdog outside the process.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A counter that the supervisor raises while `node` and `dispatcher` answer and make progress.
#[derive(Debug)]
pub struct Liveness {
    beats: AtomicU64,
    wanted: OnceLock<Duration>,
    default_interval: Duration,
}

impl Liveness {
    /// Counts at this interval, unless a watchdog asks for a shorter one.
    pub(in crate::daemon) fn new(default_interval: Duration) -> Self {
        Self { beats: AtomicU64::new(0), wanted: OnceLock::new(), default_interval }
    }

    /// The number of signs of life since the daemon's start.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }

    /// Asks for a sign of life at this interval. Only the first call counts, and only before the supervisor starts.
    pub fn want(&self, every: Duration) {
        let _ = self.wanted.set(every);
    }

    /// The interval between two signs of life.
    pub fn wanted(&self) -> Duration {
        self.wanted.get().copied().unwrap_or(self.default_interval)
    }

    /// Counts one sign of life.
    pub(in crate::daemon) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::AcqRel);
    }
}
