//! The pulse: rises as long as the modules on which all work depends make progress.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A counter that stands still when the daemon does. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    beats: Arc<AtomicU64>,
}

impl Pulse {
    /// How far it has come.
    pub(super) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// One beat more.
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }
}
