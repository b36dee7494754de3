//! The one place that asks the machine what time it is.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Wall-clock time as the database counts it: the machine's own, corrected by what the latest heartbeat measured.
///
/// A node whose clock is wrong would otherwise fire its schedules at the wrong time. Clones share the correction.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_micros: Arc<AtomicI64>,
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock, not yet corrected.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until [`Clock::turn`] moves it; for tests.
    pub fn manual(at: DateTime<Utc>) -> Self {
        Self { fixed: Some(Arc::new(AtomicI64::new(at.timestamp_micros()))), ..Self::default() }
    }

    /// The present instant, with microseconds.
    pub fn now(&self) -> DateTime<Utc> {
        let own = match &self.fixed {
            Some(fixed) => DateTime::from_timestamp_micros(fixed.load(Ordering::SeqCst)).unwrap_or_default(),
            None => machine_time(),
        };
        own + TimeDelta::microseconds(self.offset_micros.load(Ordering::Relaxed))
    }

    /// Takes over the database's time: `database` was read at what this machine took for `machine`.
    pub fn correct(&self, database: DateTime<Utc>, machine: DateTime<Utc>) {
        if self.fixed.is_none() {
            self.offset_micros.store((database - machine).num_microseconds().unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// How far the machine's clock is behind the database's.
    pub fn offset(&self) -> TimeDelta {
        TimeDelta::microseconds(self.offset_micros.load(Ordering::Relaxed))
    }

    /// Moves a manual clock; a system clock cannot be moved, and stays as it is.
    pub fn turn(&self, by: TimeDelta) {
        if let Some(fixed) = &self.fixed {
            fixed.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }
}

/// What the machine itself takes for the present instant, uncorrected, with microseconds.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn machine_time() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
