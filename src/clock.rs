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
}

impl Clock {
    /// The machine's clock, not yet corrected.
    pub fn system() -> Self {
        Self::default()
    }

    /// The present instant, with microseconds.
    pub fn now(&self) -> DateTime<Utc> {
        machine_time() + TimeDelta::microseconds(self.offset_micros.load(Ordering::Relaxed))
    }

    /// Takes over the database's time: `database` was read at what this machine took for `machine`.
    pub fn correct(&self, database: DateTime<Utc>, machine: DateTime<Utc>) {
        self.offset_micros.store((database - machine).num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }
}

/// What the machine itself takes for the present instant, uncorrected, with microseconds.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn machine_time() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
