//! What happens once in a daemon's life, and has happened.

use std::sync::atomic::{AtomicBool, Ordering};

/// Steps after the start for which other modules wait. They outlive the modules that take them.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Milestones {
    adopted: AtomicBool,
    fired_at_start: AtomicBool,
    files_seen: AtomicBool,
}

impl Milestones {
    /// For a new daemon. One that has restarted itself (`is_restart`) has fired `@reboot` already.
    pub(in crate::daemon) fn new(is_restart: bool) -> Self {
        Self {
            adopted: AtomicBool::new(false),
            fired_at_start: AtomicBool::new(is_restart),
            files_seen: AtomicBool::new(false),
        }
    }

    /// The adopter has examined what earlier daemons left behind. Before that, their tasks are not released.
    pub(in crate::daemon) fn note_adopted(&self) {
        self.adopted.store(true, Ordering::Release);
    }

    /// Whether the adopter has examined what earlier daemons left behind.
    pub(in crate::daemon) fn has_adopted(&self) -> bool {
        self.adopted.load(Ordering::Acquire)
    }

    /// The files that were there at the start have made their events, or have been written to for long.
    pub(in crate::daemon) fn note_files_seen(&self) {
        self.files_seen.store(true, Ordering::Release);
    }

    /// Whether the files that were there at the start have made their events.
    pub(in crate::daemon) fn has_seen_files(&self) -> bool {
        self.files_seen.load(Ordering::Acquire)
    }

    /// The occurrences that come at the start of a daemon (`@reboot`) are in the ledger.
    pub(in crate::daemon) fn note_fired_at_start(&self) {
        self.fired_at_start.store(true, Ordering::Release);
    }

    /// Whether the occurrences that come at the start of a daemon are in the ledger.
    pub(in crate::daemon) fn has_fired_at_start(&self) -> bool {
        self.fired_at_start.load(Ordering::Acquire)
    }
}
