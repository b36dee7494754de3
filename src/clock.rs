//! The one place that asks the machine what time it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};

/// Nobody has corrected the clock: it shows what the machine's wall clock shows.
const UNCORRECTED: i64 = i64::MIN;

/// Wall-clock time as the database counts it.
///
/// A node whose clock is wrong would otherwise fire its schedules at the wrong time. Once corrected, it goes by the time
/// since the machine's start: setting the wall clock moves it no more, and a machine's sleep counts. Clones share the
/// correction.
#[derive(Clone, Debug)]
pub struct Clock {
    /// By how many microseconds it is ahead of the time since the machine's start.
    ahead: Arc<AtomicI64>,
    /// It shows what it is turned to, and takes no correction.
    by_hand: bool,
}

impl Clock {
    /// The machine's clock, not yet corrected.
    pub fn system() -> Self {
        Self { ahead: Arc::new(AtomicI64::new(UNCORRECTED)), by_hand: false }
    }

    /// A clock that begins at `at` and is turned by hand alone, whatever the database says: for tests of what time does.
    pub fn by_hand(at: DateTime<Utc>) -> Self {
        let clock = Self { by_hand: true, ..Self::system() };
        clock.turn(at);
        clock
    }

    /// The present instant, with microseconds.
    pub fn now(&self) -> DateTime<Utc> {
        match self.ahead.load(Ordering::Relaxed) {
            UNCORRECTED => machine_time(),
            ahead => since_1970(uptime()) + TimeDelta::microseconds(ahead),
        }
    }

    /// Takes over the database's time: `database` was read at `uptime`.
    pub fn correct(&self, database: DateTime<Utc>, uptime: Duration) {
        if !self.by_hand {
            self.show(database, uptime);
        }
    }

    /// Sets it to `at`; it goes on from there.
    pub fn turn(&self, at: DateTime<Utc>) {
        self.show(at, uptime());
    }

    fn show(&self, at: DateTime<Utc>, uptime: Duration) {
        let ahead = (at - since_1970(uptime)).num_microseconds().unwrap_or_default();
        self.ahead.store(ahead, Ordering::Relaxed);
    }
}

fn since_1970(time: Duration) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::from_std(time).unwrap_or_default()
}

/// What the machine itself takes for the present instant, uncorrected, with microseconds.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn machine_time() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// For how long the machine has been up, with whole microseconds. Nobody can set it, and it goes on while the machine sleeps.
pub fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_nsec.unsigned_abs() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrected_clock_shows_the_time_of_the_database() {
        let clock = Clock::system();
        let database = machine_time() - TimeDelta::hours(5);
        let same = clock.clone();
        clock.correct(database, uptime());
        let shown = same.now();
        assert!(shown >= database && shown < database + TimeDelta::hours(1), "{shown}");
    }

    #[test]
    fn a_clock_turned_by_hand_takes_no_correction() {
        let at = machine_time() + TimeDelta::days(100);
        let clock = Clock::by_hand(at);
        clock.correct(machine_time(), uptime());
        assert!(clock.now() >= at, "{}", clock.now());
        clock.turn(at - TimeDelta::days(1));
        assert!(clock.now() < at, "{}", clock.now());
    }
}
