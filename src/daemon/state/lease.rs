//! The node's lease: until when its running tasks are its own, as far as it knows itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The node's own view of its lease. It outlives the module that keeps it.
#[derive(Debug, Default)]
pub struct Lease(Mutex<Option<Granted>>);

/// A lease that the database has granted.
#[derive(Clone, Copy, Debug)]
struct Granted {
    asked_at: Instant,
    length: Duration,
}

impl Lease {
    /// The lease was renewed by a statement sent at `asked_at`. The database counts from some moment after that.
    pub fn renew(&self, asked_at: Instant, length: Duration) {
        *self.0.lock() = Some(Granted { asked_at, length });
    }

    /// The time that is left; none before the first grant.
    pub fn left(&self) -> Option<Duration> {
        let granted = *self.0.lock();
        granted.map(|granted| granted.length.saturating_sub(granted.asked_at.elapsed()))
    }

    /// Whether the lease has run out.
    pub fn is_over(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}
