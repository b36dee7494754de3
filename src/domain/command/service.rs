//! Process modules: an external program that is kept running, when it is restarted and when it is recycled.

use std::{fmt, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::{CommandEnd, CommandSpec, Stopped};
use crate::domain::{daemon::restart_policy::RestartPolicy, text::duration};

/// A program that is kept running as a daemon module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program and its environment. The settings for tasks only (payload, success codes) are not used.
    pub command: CommandSpec,
    /// A command that runs before each start. Unless it succeeds, the program is not started now.
    pub check: Option<Vec<String>>,
    /// Whether the program is started only while the database answers.
    pub needs_database: bool,
    /// The age at which the program is recycled.
    pub recycle_after: Option<Duration>,
    /// The resident memory of its process tree at which the program is recycled, in bytes.
    pub memory_limit: Option<u64>,
    /// The signal that asks it to end.
    pub stop_signal: StopSignal,
    /// How long it has to end by itself after that signal.
    pub stop_timeout: Duration,
    /// The delay before a restart. It doubles with each failure in a row.
    pub restart_delay: Duration,
    /// The maximum delay before a restart. A program that has run for longer starts with the short delay again.
    pub max_restart_delay: Duration,
}

/// The signals that can ask a program to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// The usual signal.
    #[default]
    #[serde(rename = "TERM")]
    Term,
    /// The signal of Ctrl-C.
    #[serde(rename = "INT")]
    Int,
    /// In many servers: finish the current work, then end.
    #[serde(rename = "QUIT")]
    Quit,
    /// The signal of a closed terminal.
    #[serde(rename = "HUP")]
    Hup,
    /// A signal with a meaning of the program's own.
    #[serde(rename = "USR1")]
    Usr1,
    /// A signal with a meaning of the program's own.
    #[serde(rename = "USR2")]
    Usr2,
    /// In Apache: finish the current work, then end.
    #[serde(rename = "WINCH")]
    Winch,
    /// End immediately.
    #[serde(rename = "KILL")]
    Kill,
}

impl StopSignal {
    /// All signals with their names.
    pub const ALL: [(&str, Self); 8] = [
        ("TERM", Self::Term),
        ("INT", Self::Int),
        ("QUIT", Self::Quit),
        ("HUP", Self::Hup),
        ("USR1", Self::Usr1),
        ("USR2", Self::Usr2),
        ("WINCH", Self::Winch),
        ("KILL", Self::Kill),
    ];
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, signal)| signal == self).map_or("TERM", |(name, _)| name))
    }
}

/// How a program ended that the module had not stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceEnd {
    /// With exit code 0, which requests a restart.
    RestartRequested,
    /// Its shepherd was asked to stop it, but not by this module: for example, because the fork server was killed.
    Interrupted,
    /// Any other end, and the reason.
    Failed(String),
}

/// Why a program is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycle {
    /// It has run for this long.
    Age(Duration),
    /// It uses more memory than it may, in bytes.
    Memory {
        /// The resident memory of its process tree.
        resident: u64,
        /// The limit.
        limit: u64,
    },
}

impl fmt::Display for Recycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(age) => write!(f, "it has run for {}", duration::text(*age)),
            Self::Memory { resident, limit } => {
                write!(f, "it has {} resident, more than {}", ByteSize(*resident), ByteSize(*limit))
            }
        }
    }
}

/// Counts the failures of one program in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: usize,
}

impl Backoff {
    /// Adds a failure after a life of `lived`. Returns the delay before the restart; there always is one.
    pub fn failed(&mut self, spec: &ProcessSpec, lived: Duration) -> Duration {
        if lived > spec.max_restart_delay {
            self.failures = 0;
        }
        self.failures += 1;
        spec.restart_policy().delay(self.failures)
    }
}

impl ProcessSpec {
    /// A program with the defaults of the configuration.
    pub fn new(command: CommandSpec) -> Self {
        Self {
            command,
            check: None,
            needs_database: false,
            recycle_after: None,
            memory_limit: None,
            stop_signal: StopSignal::Term,
            stop_timeout: Duration::from_secs(10),
            restart_delay: Duration::from_secs(1),
            max_restart_delay: Duration::from_secs(60),
        }
    }

    /// The rule for its delays.
    fn restart_policy(&self) -> RestartPolicy {
        let (restart_delay, max_restart_delay) = (self.restart_delay, self.max_restart_delay);
        RestartPolicy { restart_delay, max_restart_delay, ..RestartPolicy::default() }
    }

    /// The meaning of an end that the module did not cause.
    pub fn judge(&self, end: &CommandEnd) -> ServiceEnd {
        match end.judge(&self.command) {
            _ if matches!(end.stopped, Some(Stopped::Interrupted | Stopped::Cancelled)) => ServiceEnd::Interrupted,
            Ok(()) => ServiceEnd::RestartRequested,
            Err(failure) => {
                let why = match end.stopped {
                    Some(Stopped::TimedOut) => format!("it took too long, {}", failure.error),
                    _ => failure.error,
                };
                ServiceEnd::Failed(why)
            }
        }
    }

    /// Whether a program of that age and memory is recycled, and why.
    pub fn recycle(&self, lived: Duration, memory: u64) -> Option<Recycle> {
        if let Some(limit) = self.memory_limit.filter(|limit| memory > *limit) {
            return Some(Recycle::Memory { resident: memory, limit });
        }
        let limit = self.recycle_after.filter(|limit| lived >= *limit)?;
        Some(Recycle::Age(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ProcessSpec {
        ProcessSpec::new(CommandSpec::new(vec!["server".to_owned()]))
    }

    #[test]
    fn failures_quote_the_last_line() {
        let mut end = CommandEnd { exit_code: Some(3), ..CommandEnd::default() };
        end.stderr.text = "starting\nno such port\n\n".to_owned();
        assert_eq!(spec().judge(&end), ServiceEnd::Failed("exit code 3: no such port".to_owned()));
        let killed = CommandEnd { signal: Some((9, "SIGKILL".to_owned())), ..CommandEnd::default() };
        assert_eq!(spec().judge(&killed), ServiceEnd::Failed("killed by SIGKILL".to_owned()));
        let slow = CommandEnd { stopped: Some(Stopped::TimedOut), ..killed };
        assert_eq!(spec().judge(&slow), ServiceEnd::Failed("it took too long, killed by SIGKILL".to_owned()));
        let interrupted = CommandEnd { stopped: Some(Stopped::Interrupted), ..slow };
        assert_eq!(spec().judge(&interrupted), ServiceEnd::Interrupted);
        let ended = CommandEnd { exit_code: Some(0), ..CommandEnd::default() };
        assert_eq!(spec().judge(&ended), ServiceEnd::RestartRequested);
    }

    #[test]
    fn delays_grow_up_to_their_limit_and_start_again_after_a_long_life() {
        let (spec, mut backoff) = (spec(), Backoff::default());
        let short = Duration::from_millis(5);
        let waits: Vec<u64> = (0..8).map(|_| backoff.failed(&spec, short).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!((0..1_000).all(|_| backoff.failed(&spec, short) == spec.max_restart_delay));
        assert_eq!(backoff.failed(&spec, Duration::from_secs(61)), spec.restart_delay);
    }

    #[test]
    fn age_and_memory_are_reasons_to_recycle() {
        let spec =
            ProcessSpec { recycle_after: Some(Duration::from_secs(3_600)), memory_limit: Some(1 << 20), ..spec() };
        assert_eq!(spec.recycle(Duration::from_secs(3_599), 1 << 20), None);
        assert!(spec.recycle(Duration::from_secs(3_600), 0).is_some_and(|why| why.to_string() == "it has run for 1h"));
        assert!(spec.recycle(Duration::ZERO, 2 << 20).is_some_and(|why| why.to_string().contains("more than 1.0 MiB")));
    }

    #[test]
    fn signals_have_their_names() {
        for (name, signal) in StopSignal::ALL {
            assert_eq!(signal.to_string(), name);
            assert_eq!(serde_json::to_value(signal).ok(), Some(name.into()));
        }
    }
}
