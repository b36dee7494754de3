//! Kind `worker`: long-lived processes that execute one task after the other.

pub mod protocol;

use std::time::Duration;

use super::{
    command::CommandSpec,
    text::{duration, plural::counted},
};

/// The longest time that a process has for the answer to a ping.
const MAX_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A `[worker.NAME]` table: a program that executes tasks as a long-lived process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSpec {
    /// The program and its surroundings.
    pub command: CommandSpec,
    /// How many processes this node keeps.
    pub processes: usize,
    /// A process is replaced after this number of tasks.
    pub max_tasks: Option<u64>,
    /// A process is replaced when its process tree has more memory than this, in bytes.
    pub max_memory: Option<u64>,
    /// A process is replaced when it is older than this.
    pub max_age: Option<Duration>,
    /// How long a process may take until its hello.
    pub start_timeout: Duration,
    /// A process that has been silent for this long without a task is asked whether it is there.
    pub ping_interval: Duration,
    /// How long a process without a task may take to end after the end of its input.
    pub stop_timeout: Duration,
    /// The delay before a process is started again that has failed. It doubles with each failure in a row.
    pub restart_delay: Duration,
    /// The longest of these delays.
    pub max_restart_delay: Duration,
}

impl WorkerSpec {
    /// Why a process that has no task is to be replaced; none if it is not.
    pub fn recycle(&self, tasks: u64, age: Duration, memory: u64) -> Option<String> {
        if self.max_tasks.is_some_and(|most| tasks >= most) {
            return Some(format!("it has executed {}", counted(usize::try_from(tasks).unwrap_or(usize::MAX), "task")));
        }
        if self.max_age.is_some_and(|most| age >= most) {
            return Some(format!("it has run for {}", duration::text(Duration::from_secs(age.as_secs()))));
        }
        let is_large = self.max_memory.is_some_and(|most| memory > most);
        is_large.then(|| format!("it has {} MiB of memory", memory >> 20))
    }

    /// How long a process may take to answer whether it is there.
    pub fn ping_timeout(&self) -> Duration {
        self.ping_interval.min(MAX_PING_TIMEOUT)
    }

    /// The delay before the next start, after that number of failures in a row.
    pub fn delay_after(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        self.restart_delay.saturating_mul(factor).min(self.max_restart_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> WorkerSpec {
        WorkerSpec {
            command: CommandSpec::new(vec!["php".to_owned()]),
            processes: 1,
            max_tasks: Some(10),
            max_memory: Some(1 << 20),
            max_age: Some(Duration::from_secs(60)),
            start_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
            restart_delay: Duration::from_secs(1),
            max_restart_delay: Duration::from_secs(5),
        }
    }

    #[test]
    fn a_process_is_replaced_at_each_of_its_limits() {
        assert_eq!(spec().recycle(9, Duration::from_secs(59), 1 << 20), None);
        assert_eq!(spec().recycle(10, Duration::ZERO, 0).as_deref(), Some("it has executed 10 tasks"));
        assert_eq!(spec().recycle(0, Duration::from_secs(60), 0).as_deref(), Some("it has run for 1m"));
        assert_eq!(spec().recycle(0, Duration::ZERO, 3 << 20).as_deref(), Some("it has 3 MiB of memory"));
    }

    #[test]
    fn delays_grow_up_to_their_limit() {
        let delays = [1, 2, 3, 4, 100].map(|failures| spec().delay_after(failures).as_secs());
        assert_eq!(delays, [1, 2, 4, 5, 5]);
    }
}
