//! When a failed daemon module is restarted, and when the daemon gives up.

use std::{collections::VecDeque, time::Duration};

/// The limits of restarting. All durations are measured on the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Delay after the first failure; doubled with each further one.
    pub restart_delay: Duration,
    /// The delay never exceeds this.
    pub max_restart_delay: Duration,
    /// More failures than this within `restart_window` end the process.
    pub max_restarts: usize,
    /// Failures are counted over this time. After as long without a failure, the delay is `restart_delay` again.
    pub restart_window: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            restart_delay: Duration::from_millis(100),
            max_restart_delay: Duration::from_secs(30),
            max_restarts: 10,
            restart_window: Duration::from_secs(300),
        }
    }
}

impl RestartPolicy {
    /// The delay after the nth failure within the window, from 1.
    pub fn delay(&self, nth: usize) -> Duration {
        let doublings = u32::try_from(nth.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        self.restart_delay.saturating_mul(2u32.pow(doublings)).min(self.max_restart_delay)
    }
}

/// The response to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Restart the module after this time.
    RestartAfter(Duration),
    /// The module fails too often: end the process.
    GiveUp,
}

/// The failures of one module.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    recent: VecDeque<Duration>,
    total: u64,
}

impl Restarts {
    /// Counts a failure at `now` (the time since the daemon's start) and returns the response to it.
    pub fn record_failure(&mut self, policy: &RestartPolicy, now: Duration) -> Response {
        self.total += 1;
        self.recent.retain(|at| now.saturating_sub(*at) < policy.restart_window);
        self.recent.push_back(now);
        if self.recent.len() > policy.max_restarts {
            return Response::GiveUp;
        }
        Response::RestartAfter(policy.delay(self.recent.len()))
    }

    /// Number of failures since the daemon's start.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_a_quiet_window_forgets() {
        let policy = RestartPolicy::default();
        let mut failures = Restarts::default();
        let millis = |n| Response::RestartAfter(Duration::from_millis(n));
        assert_eq!(failures.record_failure(&policy, Duration::from_secs(1)), millis(100));
        assert_eq!(failures.record_failure(&policy, Duration::from_secs(2)), millis(200));
        assert_eq!(failures.record_failure(&policy, Duration::from_secs(3)), millis(400));
        assert_eq!(failures.record_failure(&policy, Duration::from_secs(400)), millis(100));
        assert_eq!(failures.total(), 4);
    }

    #[test]
    fn at_its_own_delays_a_module_that_cannot_live_is_given_up() {
        let policy = RestartPolicy::default();
        let (mut failures, mut now) = (Restarts::default(), Duration::ZERO);
        for _ in 0..100 {
            match failures.record_failure(&policy, now) {
                Response::RestartAfter(delay) => now += delay,
                Response::GiveUp => return assert!(now < policy.restart_window),
            }
        }
        panic!("it is restarted for ever");
    }

    #[test]
    fn too_many_failures_in_the_window_end_it() {
        let policy = RestartPolicy { max_restarts: 2, ..RestartPolicy::default() };
        let mut failures = Restarts::default();
        failures.record_failure(&policy, Duration::ZERO);
        failures.record_failure(&policy, Duration::ZERO);
        assert_eq!(failures.record_failure(&policy, Duration::ZERO), Response::GiveUp);
    }
}
