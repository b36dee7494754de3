//! When a fallen daemon module is started again, and when the daemon gives up.

use std::{collections::VecDeque, time::Duration};

/// The rule of restarting. All durations are monotonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The wait after the first fall; doubled with each further one.
    pub restart_delay: Duration,
    /// The wait never grows beyond this.
    pub max_restart_delay: Duration,
    /// More falls than this within `restart_window` end the process.
    pub max_restarts: usize,
    /// The stretch of time in which falls are counted; also the quiet time after which the wait is short again.
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
    /// The wait after the first, second, … of some falls that belong together.
    pub fn delay(&self, nth: usize) -> Duration {
        let doublings = u32::try_from(nth.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        self.restart_delay.saturating_mul(2u32.pow(doublings)).min(self.max_restart_delay)
    }
}

/// What is to be done about a fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Start the module again after this time.
    RestartAfter(Duration),
    /// It falls too often: end the process.
    GiveUp,
}

/// The falls of one module.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    recent: VecDeque<Duration>,
    total: u64,
}

impl Restarts {
    /// Counts a fall at `now` (the time since the daemon's start) and says what to do about it.
    pub fn fall(&mut self, policy: &RestartPolicy, now: Duration) -> Response {
        self.total += 1;
        self.recent.retain(|at| now.saturating_sub(*at) < policy.restart_window);
        self.recent.push_back(now);
        if self.recent.len() > policy.max_restarts {
            return Response::GiveUp;
        }
        Response::RestartAfter(policy.delay(self.recent.len()))
    }

    /// How often it fell since the daemon's start.
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
        let mut falls = Restarts::default();
        let millis = |n| Response::RestartAfter(Duration::from_millis(n));
        assert_eq!(falls.fall(&policy, Duration::from_secs(1)), millis(100));
        assert_eq!(falls.fall(&policy, Duration::from_secs(2)), millis(200));
        assert_eq!(falls.fall(&policy, Duration::from_secs(3)), millis(400));
        assert_eq!(falls.fall(&policy, Duration::from_secs(400)), millis(100));
        assert_eq!(falls.total(), 4);
    }

    #[test]
    fn at_its_own_delays_a_module_that_cannot_live_is_given_up() {
        let policy = RestartPolicy::default();
        let (mut falls, mut now) = (Restarts::default(), Duration::ZERO);
        for _ in 0..100 {
            match falls.fall(&policy, now) {
                Response::RestartAfter(delay) => now += delay,
                Response::GiveUp => return assert!(now < policy.restart_window),
            }
        }
        panic!("it is started again for ever");
    }

    #[test]
    fn too_many_falls_in_the_window_end_it() {
        let policy = RestartPolicy { max_restarts: 2, ..RestartPolicy::default() };
        let mut falls = Restarts::default();
        falls.fall(&policy, Duration::ZERO);
        falls.fall(&policy, Duration::ZERO);
        assert_eq!(falls.fall(&policy, Duration::ZERO), Response::GiveUp);
    }
}
