//! The clock: the only place that reads the machine's time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};

/// Not corrected: the clock shows the machine's wall-clock time.
const UNCORRECTED: i64 = i64::MIN;

/// The time of the database.
///
/// A node whose wall clock is wrong would fire its schedules at the wrong time. Once corrected, the clock follows the
/// time since boot: a change of the wall clock has no effect, and the time of a suspend counts. Clones share the
/// correction.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The difference to the time since boot, in microseconds.
    ahead: Arc<AtomicI64>,
    /// A manual clock takes no correction.
    by_hand: bool,
}

impl Clock {
    /// The machine's clock, not yet corrected.
    pub fn system() -> Self {
        Self { ahead: Arc::new(AtomicI64::new(UNCORRECTED)), by_hand: false }
    }

    /// A manual clock that starts at `at` and ignores the database's time, for tests.
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

    /// Corrects the clock: the database read the time `database` between `asked` and `answered`, which are times since
    /// boot. What this does not prove wrong stays, so that a slow answer does not make it worse. The first correction, and one
    /// that proves the clock ahead, take `answered`: then it is not ahead of the database. A manual clock ignores corrections.
    pub fn correct(&self, database: DateTime<Utc>, asked: Duration, answered: Duration) {
        if !self.by_hand {
            let (least, most) = (ahead(database, answered), ahead(database, asked.min(answered)));
            let corrected = match self.ahead.load(Ordering::Relaxed) {
                UNCORRECTED => least,
                known if known > most => least,
                known => known.max(least),
            };
            self.ahead.store(corrected, Ordering::Relaxed);
        }
    }

    /// Sets the clock to `at`. It continues from there.
    pub fn turn(&self, at: DateTime<Utc>) {
        self.ahead.store(ahead(at, uptime()), Ordering::Relaxed);
    }
}

/// The difference of a clock that shows `at` at that time since boot, in microseconds.
fn ahead(at: DateTime<Utc>, uptime: Duration) -> i64 {
    (at - since_1970(uptime)).num_microseconds().unwrap_or_default()
}

fn since_1970(time: Duration) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::from_std(time).unwrap_or_default()
}

/// The machine's wall-clock time, uncorrected, with microseconds.
#[expect(clippy::disallowed_methods, reason = "the only place that reads it")]
pub fn machine_time() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// The time since boot, in whole microseconds. It cannot be set, and it includes the time of a suspend.
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
        clock.correct(database, uptime(), uptime());
        let shown = same.now();
        assert!(shown >= database && shown < database + TimeDelta::hours(1), "{shown}");
    }

    #[test]
    fn a_slow_answer_moves_the_clock_only_if_it_proves_it_wrong() {
        let clock = Clock::system();
        let (begun, second) = (uptime(), Duration::from_secs(1));
        let at = since_1970(begun);
        let ahead = |clock: &Clock| clock.ahead.load(Ordering::Relaxed);
        clock.correct(at, begun, begun);
        assert_eq!(ahead(&clock), 0);
        // Read at the beginning, at the end, or in between: no reason to move.
        for read in [begun, begun + second / 2, begun + second] {
            clock.correct(since_1970(read), begun, begun + second);
            assert_eq!(ahead(&clock), 0);
        }
        // Five seconds later than the machine knows, at least four of them for certain.
        clock.correct(at + TimeDelta::seconds(5), begun, begun + second);
        assert_eq!(ahead(&clock), 4_000_000);
        clock.correct(at + TimeDelta::seconds(5), begun, begun);
        assert_eq!(ahead(&clock), 5_000_000);
        // Earlier: by five seconds at least, and by six at most.
        clock.correct(at - TimeDelta::seconds(5), begun, begun + second);
        assert_eq!(ahead(&clock), -6_000_000, "not ahead of the database");
        // The first answer was slow.
        let clock = Clock::system();
        clock.correct(at, begun, begun + second);
        assert_eq!(ahead(&clock), -1_000_000, "not ahead of the database");
        clock.correct(at, begun, begun);
        assert_eq!(ahead(&clock), 0);
    }

    #[test]
    fn a_clock_turned_by_hand_takes_no_correction() {
        let at = machine_time() + TimeDelta::days(100);
        let clock = Clock::by_hand(at);
        clock.correct(machine_time(), uptime(), uptime());
        assert!(clock.now() >= at, "{}", clock.now());
        clock.turn(at - TimeDelta::days(1));
        assert!(clock.now() < at, "{}", clock.now());
    }
}
