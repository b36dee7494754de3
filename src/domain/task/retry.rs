//! Retries: the delay before the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the delay grows from attempt to attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Growth {
    /// The delay stays the same.
    Fixed,
    /// The delay doubles each time.
    Exponential,
}

/// The delays between the attempts of a task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The delay after the first attempt.
    pub delay: Duration,
    /// How the delay grows.
    pub growth: Growth,
    /// The maximum delay, before jitter.
    pub max_delay: Duration,
    /// The maximum random addition, as a part of the delay: tasks that failed together are not retried together.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(15),
            growth: Growth::Exponential,
            max_delay: Duration::from_secs(3_600),
            jitter: 0.1,
        }
    }
}

impl RetryPolicy {
    /// The delay after attempt `attempt` (from 1) has failed; `chance` is a random number from 0 to 1.
    pub fn delay_after(&self, attempt: i32, chance: f64) -> Duration {
        let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(63);
        let factor = match self.growth {
            Growth::Fixed => 1.0,
            Growth::Exponential => 2f64.powi(doublings as i32),
        };
        let grown = (self.delay.as_secs_f64() * factor).min(self.max_delay.as_secs_f64());
        Duration::from_secs_f64(grown * (1.0 + self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    proptest! {
        #[test]
        fn delays_grow_and_stay_bounded(attempt in 1i32..10_000, chance in 0.0f64..1.0) {
            let policy = RetryPolicy::default();
            let (this, next) = (policy.delay_after(attempt, 0.0), policy.delay_after(attempt + 1, 0.0));
            prop_assert!(this <= next);
            prop_assert!(policy.delay_after(attempt, chance) <= policy.max_delay.mul_f64(1.0 + policy.jitter));
            prop_assert!(policy.delay_after(attempt, chance) >= policy.delay);
        }
    }

    #[test]
    fn fixed_delays_stay_the_same() {
        let policy = RetryPolicy { growth: Growth::Fixed, ..RetryPolicy::default() };
        assert_eq!(policy.delay_after(7, 0.0), policy.delay);
    }
}
