//! `[daemon]` and `[supervisor]`.

use std::{path::PathBuf, time::Duration};

use chrono_tz::Tz;

use super::section::Section;
use crate::domain::daemon::restart::RestartPolicy;

/// How the daemon behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The node's name; the host's unless set.
    pub name: Option<String>,
    /// Where the daemon keeps files: running commands, and what it could not yet write to the database.
    pub state_dir: PathBuf,
    /// Where the daemon is reached: its lock and its control socket.
    pub run_dir: PathBuf,
    /// Where log files are, if the log goes into files; below `state_dir` unless set.
    pub log_dir: PathBuf,
    /// Workers of queue `default`, and of every queue without a table of its own.
    pub workers: usize,
    /// How often the database is asked for tasks while there are some; eight times as seldom when idle, and where
    /// every enqueue is heard of, forty times.
    pub poll_interval: Duration,
    /// How often the node shows that it lives.
    pub heartbeat: Duration,
    /// For how long its running tasks are its own after a sign of life.
    pub lease: Duration,
    /// How long a stop waits for what runs.
    pub stop_timeout: Duration,
    /// The same, for a stop that is to hurry.
    pub force_timeout: Duration,
    /// Without a sign of life for so long, the process supervisor of `start` kills the daemon and starts it again.
    pub watchdog: Duration,
    /// The daemon starts itself anew after so long.
    pub max_age: Option<Duration>,
    /// The daemon starts itself anew when it has more memory resident than this, in bytes.
    pub max_memory: Option<u64>,
    /// Whether the configuration is read anew as soon as its files have changed.
    pub watch_config: bool,
    /// For so long the files must have been left alone.
    pub debounce: Duration,
    /// Whether the daemon refuses to run as root.
    pub refuse_root: bool,
    /// For how long history is kept.
    pub keep_history: Duration,
    /// The zone of schedules that name none.
    pub timezone: Tz,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            name: None,
            state_dir: PathBuf::from("var"),
            run_dir: PathBuf::from("var/run"),
            log_dir: PathBuf::from("var/log"),
            workers: 10,
            poll_interval: Duration::from_millis(250),
            heartbeat: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(30),
            force_timeout: Duration::from_secs(5),
            watchdog: Duration::from_secs(15),
            max_age: None,
            max_memory: None,
            watch_config: true,
            debounce: Duration::from_secs(1),
            refuse_root: false,
            keep_history: Duration::from_secs(30 * 86_400),
            timezone: Tz::UTC,
        }
    }
}

impl DaemonConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let tick = Duration::from_millis(10);
        section.renamed("config_settle", "debounce");
        let state_dir = section.text("state_dir").map_or(default.state_dir, PathBuf::from);
        let read = Self {
            name: section.text("name"),
            run_dir: section.text("run_dir").map_or_else(|| state_dir.join("run"), PathBuf::from),
            log_dir: section.text("log_dir").map_or_else(|| state_dir.join("log"), PathBuf::from),
            state_dir,
            workers: section.integer("workers", 1..=10_000).unwrap_or(default.workers),
            poll_interval: section.span("poll_interval", tick).unwrap_or(default.poll_interval),
            heartbeat: section.span("heartbeat", tick).unwrap_or(default.heartbeat),
            lease: section.span("lease", tick * 3).unwrap_or(default.lease),
            stop_timeout: section.span("stop_timeout", Duration::ZERO).unwrap_or(default.stop_timeout),
            force_timeout: section.span("force_timeout", Duration::ZERO).unwrap_or(default.force_timeout),
            watchdog: section.span("watchdog", Duration::from_secs(1)).unwrap_or(default.watchdog),
            max_age: section.span("max_age", Duration::from_secs(1)),
            max_memory: section.bytes("max_memory", 1 << 20..=u64::MAX / 2),
            watch_config: section.flag("watch_config").unwrap_or(default.watch_config),
            debounce: section.span("debounce", tick).unwrap_or(default.debounce),
            refuse_root: section.flag("refuse_root").unwrap_or(default.refuse_root),
            keep_history: section.span("keep_history", Duration::ZERO).unwrap_or(default.keep_history),
            timezone: section.zone("timezone").unwrap_or(default.timezone),
        };
        if read.lease < read.heartbeat * 2 {
            section.refuse("lease", "it must be at least twice the heartbeat, or one lost sign of life ends it");
        }
        if let Some(name) = &read.name {
            if let Err(problem) = crate::domain::task::definition::check_name(name) {
                section.refuse("name", problem);
            } else if name.len() > 80 {
                section.refuse("name", "it is longer than 80 bytes");
            }
        }
        read
    }
}

/// The settings of `[supervisor]` that had another name before.
const RENAMED: [(&str, &str); 6] = [
    ("first_delay", "restart_delay"),
    ("max_delay", "max_restart_delay"),
    ("max_falls", "max_restarts"),
    ("window", "restart_window"),
    ("patience", "hang_timeout"),
    ("discard", "recycle_after"),
];

/// When fallen modules are started again, and how a hanging one is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// Delays and limits of restarting.
    pub restart: RestartPolicy,
    /// How often each module is asked whether it lives.
    pub ping_interval: Duration,
    /// A module that makes no progress for so long hangs, and is replaced.
    pub hang_timeout: Duration,
    /// A module is replaced by a fresh one after so long.
    pub recycle_after: Duration,
}

impl Default for SupervisorConfig {
    fn default() -> Self {
        Self {
            restart: RestartPolicy::default(),
            ping_interval: Duration::from_secs(5),
            hang_timeout: Duration::from_secs(60),
            recycle_after: Duration::from_secs(3_600),
        }
    }
}

impl SupervisorConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let tick = Duration::from_millis(10);
        let restart = default.restart;
        for (old, new) in RENAMED {
            section.renamed(old, new);
        }
        Self {
            restart: RestartPolicy {
                restart_delay: section.span("restart_delay", Duration::from_millis(1)).unwrap_or(restart.restart_delay),
                max_restart_delay: section.span("max_restart_delay", tick).unwrap_or(restart.max_restart_delay),
                max_restarts: section.integer("max_restarts", 0..=1_000_000).unwrap_or(restart.max_restarts),
                restart_window: section.span("restart_window", tick).unwrap_or(restart.restart_window),
            },
            ping_interval: section.span("ping_interval", tick).unwrap_or(default.ping_interval),
            hang_timeout: section.span("hang_timeout", tick).unwrap_or(default.hang_timeout),
            recycle_after: section.span("recycle_after", tick).unwrap_or(default.recycle_after),
        }
    }
}
