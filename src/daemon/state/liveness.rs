//! The pulse: proof that the modules live on which everything else depends, for a watchdog outside the process.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A counter that the supervisor raises as long as `node` and `dispatcher` answer and get on.
#[derive(Debug)]
pub struct Liveness {
    beats: AtomicU64,
    wanted: OnceLock<Duration>,
    usual: Duration,
}

impl Liveness {
    /// One that is felt this often, unless somebody wants it more often.
    pub(in crate::daemon) fn new(usual: Duration) -> Self {
        Self { beats: AtomicU64::new(0), wanted: OnceLock::new(), usual }
    }

    /// How often it has beaten since the daemon's start.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }

    /// Asks for a beat this often. It counts once, and before the supervisor is started.
    pub fn want(&self, every: Duration) {
        let _ = self.wanted.set(every);
    }

    /// How often it is to beat.
    pub fn wanted(&self) -> Duration {
        self.wanted.get().copied().unwrap_or(self.usual)
    }

    pub(in crate::daemon) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::AcqRel);
    }
}
