//! How often a statement may carry a wake-up.
//!
//! A NOTIFY inside a transaction holds a lock of the whole server through the flush of its commit, so such statements of
//! all clients wait for each other. A statement that takes much longer than the shortest one has probably waited for
//! others. Then this client rests longer.

use std::time::{Duration, Instant};

/// The rest after a statement is this multiple of its duration, and twice as much after each one that was slow.
const LEAST_MULTIPLE: u32 = 4;
/// A statement is slow if it takes longer than this multiple of the shortest one.
const SLOW_MULTIPLE: u32 = 2;
/// The longest rest after a statement that was slow.
const MAX_REST: Duration = Duration::from_secs(10);
/// The rest after the database has refused to carry a wake-up.
const REST_AFTER_REFUSAL: Duration = Duration::from_secs(600);

/// The rule for the statements of one client.
pub(super) struct CarrierPace {
    /// When a statement may carry a wake-up; `None` while one does.
    next_at: Option<Instant>,
    shortest: Option<Duration>,
    multiple: u32,
}

/// How a statement ended that was to carry a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CarrierEnd {
    /// It did.
    Sent,
    /// The database has refused that.
    Refused,
    /// It was cancelled, or failed.
    Failed,
}

impl CarrierPace {
    pub(super) fn new(now: Instant) -> Self {
        Self { next_at: Some(now), shortest: None, multiple: LEAST_MULTIPLE }
    }

    /// Begins a statement, if one may carry a wake-up now.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        self.next_at.take_if(|at| *at <= now).is_some()
    }

    /// Notes the end of the statement.
    pub(super) fn end(&mut self, end: CarrierEnd, now: Instant, duration: Duration) {
        if end == CarrierEnd::Refused {
            self.next_at = Some(now + REST_AFTER_REFUSAL);
            return;
        }
        let shortest = self.shortest.unwrap_or(duration);
        if end == CarrierEnd::Sent {
            self.shortest = Some(shortest.min(duration));
        }
        let is_slow = end == CarrierEnd::Failed || duration > shortest * SLOW_MULTIPLE;
        self.multiple = if is_slow { self.multiple.saturating_mul(2) } else { LEAST_MULTIPLE };
        self.next_at = Some(now + duration.saturating_mul(self.multiple).min(MAX_REST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_statement_at_a_time_carries_and_rests_after_it() {
        let start = Instant::now();
        let mut pace = CarrierPace::new(start);
        assert!(pace.begin(start) && !pace.begin(start + 99 * MS), "one at a time");
        pace.end(CarrierEnd::Sent, start + 2 * MS, 2 * MS);
        assert!(!pace.begin(start + 9 * MS) && pace.begin(start + 10 * MS));
    }

    #[test]
    fn rests_grow_while_statements_wait_for_others() {
        let start = Instant::now();
        let mut pace = CarrierPace::new(start);
        let mut rest_after = |end: CarrierEnd, duration: Duration| {
            pace.next_at = None;
            pace.end(end, start, duration);
            pace.next_at.unwrap() - start
        };
        assert_eq!(rest_after(CarrierEnd::Sent, MS), 4 * MS);
        assert_eq!(rest_after(CarrierEnd::Sent, 2 * MS), 8 * MS, "twice as long is not slow");
        assert_eq!(rest_after(CarrierEnd::Sent, 3 * MS), 24 * MS);
        assert_eq!(rest_after(CarrierEnd::Sent, 3 * MS), 48 * MS);
        assert_eq!(rest_after(CarrierEnd::Failed, MS), 32 * MS);
        assert_eq!(rest_after(CarrierEnd::Sent, MS), 4 * MS, "nobody is in the way any more");
        assert_eq!(rest_after(CarrierEnd::Sent, 9_000 * MS), MAX_REST);
        for _ in 0..99 {
            assert_eq!(rest_after(CarrierEnd::Sent, Duration::MAX), MAX_REST);
        }
        assert_eq!(rest_after(CarrierEnd::Refused, MS), REST_AFTER_REFUSAL);
    }
}
