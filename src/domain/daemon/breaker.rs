//! A circuit breaker: work that this machine cannot do at present is not tried again and again. After a while a probe
//! finds out whether it can be done.

use std::time::Duration;

/// The delay before the first probe. It doubles with each failed one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The delay never exceeds this. A breaker that was closed for as long begins with the first delay again.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// A circuit breaker. It is closed while the work can be done. All instants are times since the daemon's start.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    open: Option<Open>,
    closed_at: Option<Duration>,
}

/// What is known while the breaker is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Why the work cannot be done, from the latest failure.
    pub reason: String,
    /// When the breaker opened.
    pub since: Duration,
    /// When the next probe is due.
    pub probe_at: Duration,
}

impl Breaker {
    /// Notes that the work failed. Returns what is new about it: the breaker was closed before, or the reason was another
    /// one.
    pub fn trip(&mut self, now: Duration, reason: &str) -> Option<&Open> {
        let is_new = self.open.as_ref().is_none_or(|open| !is_same(&open.reason, reason));
        if let Some(open) = &mut self.open {
            reason.clone_into(&mut open.reason);
        } else {
            let has_worked = self.closed_at.is_none_or(|at| now.saturating_sub(at) >= MAX_DELAY);
            self.failures = if has_worked { 1 } else { self.failures.saturating_add(1) };
            let probe_at = now + delay(self.failures);
            self.open = Some(Open { reason: reason.to_owned(), since: now, probe_at });
        }
        self.open.as_ref().filter(|_| is_new)
    }

    /// Notes that a probe failed. Returns whether its reason is another one than before.
    pub fn probe_failed(&mut self, now: Duration, reason: &str) -> bool {
        self.failures = self.failures.saturating_add(1);
        let Some(open) = &mut self.open else { return false };
        open.probe_at = now + delay(self.failures);
        let is_new = !is_same(&open.reason, reason);
        reason.clone_into(&mut open.reason);
        is_new
    }

    /// Notes that a probe succeeded. Returns for how long the breaker was open.
    pub fn close(&mut self, now: Duration) -> Option<Duration> {
        self.closed_at = Some(now);
        self.open.take().map(|open| now.saturating_sub(open.since))
    }

    /// What is known while it is open; none while it is closed.
    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }
}

/// Whether two reasons end with the same error. What precedes it differs from attempt to attempt, such as a path.
fn is_same(a: &str, b: &str) -> bool {
    a.rsplit(": ").next() == b.rsplit(": ").next()
}

/// The delay after the nth failure, from 1.
fn delay(nth: u32) -> Duration {
    FIRST_DELAY.saturating_mul(2u32.pow(nth.saturating_sub(1).min(10))).min(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn probes_become_rarer_up_to_a_minute() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.trip(at(100), "full").map(|open| open.probe_at), Some(at(101)));
        let mut now = at(101);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            assert!(!breaker.probe_failed(now, "full"), "nothing new");
            now += at(seconds);
            assert_eq!(breaker.open().map(|open| open.probe_at), Some(now));
        }
        assert_eq!(breaker.close(now), Some(now - at(100)));
        assert_eq!(breaker.open(), None);
    }

    #[test]
    fn a_failure_is_new_once_for_each_reason() {
        let mut breaker = Breaker::default();
        assert!(breaker.trip(at(0), "full").is_some());
        assert!(breaker.trip(at(0), "full").is_none());
        assert!(breaker.trip(at(0), "no memory").is_some());
        assert!(breaker.trip(at(0), "/b: no memory").is_none(), "at another path");
        assert!(breaker.probe_failed(at(1), "full"));
        assert_eq!(breaker.open().map(|open| open.since), Some(at(0)));
    }

    #[test]
    fn a_breaker_that_opens_soon_again_goes_on_with_its_delays() {
        let mut breaker = Breaker::default();
        let opened = |breaker: &mut Breaker, now| breaker.trip(now, "full").map(|open| open.probe_at - now);
        assert_eq!(opened(&mut breaker, at(0)), Some(at(1)));
        breaker.close(at(1));
        assert_eq!(opened(&mut breaker, at(2)), Some(at(2)));
        breaker.close(at(4));
        assert_eq!(opened(&mut breaker, at(5)), Some(at(4)));
        breaker.close(at(9));
        assert_eq!(opened(&mut breaker, at(69)), Some(at(1)), "it has worked for a minute");
    }
}
