//! Until when this node's running tasks are its own, as far as it knows itself.

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
    /// It was prolonged by a statement that was sent at `asked_at`: the database counts from some moment after that.
    pub fn renew(&self, asked_at: Instant, length: Duration) {
        *self.0.lock() = Some(Granted { asked_at, length });
    }

    /// How much of it is left; none before it was granted first.
    pub fn left(&self) -> Option<Duration> {
        let granted = *self.0.lock();
        granted.map(|granted| granted.length.saturating_sub(granted.asked_at.elapsed()))
    }

    /// Whether it has run out.
    pub fn is_over(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
}
