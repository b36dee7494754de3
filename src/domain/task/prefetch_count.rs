//! Prefetch: a node claims as many tasks as it has free workers, and for very short tasks a few more.
//!
//! A claim costs a round trip and a commit. With tasks of microseconds, one claimed task for each free worker would
//! leave the workers waiting for the database (ADR 0005). So a pool whose recent attempts were short claims as many
//! tasks ahead as its workers can do in `PREFETCH_TIME`.

use std::time::Duration;

/// Work for this long may be claimed ahead.
const PREFETCH_TIME: Duration = Duration::from_millis(50);
/// The maximum number of tasks that are claimed ahead in one queue.
pub const MAX_PREFETCH: usize = 1_000;
/// With longer attempts on average, prefetch gains nothing.
const SHORT_ATTEMPT: Duration = Duration::from_millis(5);

/// The recent mean duration of a queue's attempts, weighted towards the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    mean: Option<f64>,
}

impl Pace {
    /// Adds a finished attempt. One long attempt outweighs many short ones, so that prefetch ends as soon as tasks are
    /// not short any more.
    pub fn note(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.mean = Some(match self.mean {
            Some(mean) if took < mean || took < SHORT_ATTEMPT.as_secs_f64() => mean + (took - mean) / 16.0,
            _ => took,
        });
    }

    /// How many tasks may wait for `workers` workers.
    pub fn ahead(&self, workers: usize) -> usize {
        let Some(mean) = self.mean.filter(|mean| *mean < SHORT_ATTEMPT.as_secs_f64()) else { return 0 };
        let each = (PREFETCH_TIME.as_secs_f64() / mean.max(1e-6)) as usize;
        workers.saturating_mul(each).min(MAX_PREFETCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_long_tasks_are_not_claimed_ahead() {
        let mut pace = Pace::default();
        assert_eq!(pace.ahead(10), 0);
        pace.note(Duration::from_secs(1));
        assert_eq!(pace.ahead(10), 0);
    }

    #[test]
    fn short_tasks_are_claimed_ahead_within_the_bound() {
        let mut pace = Pace::default();
        pace.note(Duration::from_micros(2));
        assert_eq!(pace.ahead(10), MAX_PREFETCH);
        assert_eq!(pace.ahead(0), 0);
        let mut pace = Pace::default();
        pace.note(Duration::from_millis(4));
        assert_eq!(pace.ahead(2), 24);
    }

    #[test]
    fn one_long_attempt_ends_it() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.note(Duration::from_micros(2));
        }
        pace.note(Duration::from_millis(100));
        assert_eq!(pace.ahead(10), 0);
    }
}
