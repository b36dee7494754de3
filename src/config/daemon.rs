//! `[daemon]` and `[supervisor]`.

use std::{path::PathBuf, time::Duration};

use chrono_tz::Tz;

use super::{notify, ping, section::Section};
use crate::domain::{
    daemon::{lease::OnLeaseLost, restart_policy::RestartPolicy},
    notice::{NoticeRule, channel::Secret},
    task::{DEFAULT_MAX_PAYLOAD, pickups::DEFAULT_MAX_PICKUPS, time_limit::TimeLimit},
};

/// Upper limit of `max_payload`: no database sends a larger value.
const MAX_PAYLOAD_LIMIT: u64 = 512 << 20;

/// The shortest and the longest time limit for a statement.
const MIN_STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Name of the node; the host name by default.
    pub name: Option<String>,
    /// Directory of running attempts, and of results that could not be written to the database yet.
    pub state_dir: PathBuf,
    /// Whom to tell of problems.
    pub notices: NoticeRule,
    /// Where the daemon says each minute that it is well.
    pub ping_url: Option<Secret>,
    /// Directory of the run lock and the control socket; `run` below `state_dir` by default.
    pub run_dir: PathBuf,
    /// Directory of log files, if the daemon logs to files; `log` below `state_dir` by default.
    pub log_dir: PathBuf,
    /// Workers of queue `default`, and of every queue that has no table.
    pub workers: usize,
    /// Interval between two polls for available tasks. An idle daemon polls at a slower rate, down to
    /// one thirty-sixth, and one forty-eighth where the database reports every enqueue.
    pub poll_interval: Duration,
    /// Interval between two heartbeats of the node.
    pub heartbeat: Duration,
    /// How long after a heartbeat the node's claim to its running tasks is valid.
    pub lease: Duration,
    /// The largest payload of a task, in bytes.
    pub max_payload: u64,
    /// How many nodes in a row may die during the attempts of a task before it is discarded.
    pub max_pickups: i32,
    /// What happens to running attempts when the lease cannot be kept; absent, their limits decide.
    pub on_lease_lost: Option<OnLeaseLost>,
    /// Time limit of an attempt whose task and queue have none.
    pub timeout: Option<TimeLimit>,
    /// A queue without a free worker for this long is reported.
    pub report_full_after: Duration,
    /// How long tasks may wait in a queue in which nothing begins or ends, before that is a problem.
    pub report_stalled_after: Duration,
    /// How long a stop waits for running tasks.
    pub stop_timeout: Duration,
    /// How long a forced stop waits for running tasks.
    pub force_timeout: Duration,
    /// The process supervisor of `start` kills and restarts a daemon that is silent for this long.
    pub watchdog: Duration,
    /// The daemon restarts itself after this time.
    pub max_age: Option<Duration>,
    /// The daemon restarts itself if its resident memory exceeds this number of bytes.
    pub max_memory: Option<u64>,
    /// Whether changed configuration files are reloaded without a request.
    pub watch_config: bool,
    /// How long the files must be unchanged before they are reloaded.
    pub reload_debounce: Duration,
    /// Whether the daemon refuses to run as root.
    pub refuse_root: bool,
    /// How long history is kept.
    pub keep_history: Duration,
    /// How long events are kept.
    pub keep_events: Duration,
    /// What becomes of tasks whose name no live node defines.
    pub unknown_tasks: OnUnknown,
    /// How long such tasks wait before they are discarded.
    pub discard_unknown_after: Duration,
    /// Time zone of schedules and periods that name none, and of what people see. By default UTC and the reader's.
    pub timezone: Option<Tz>,
}

/// What becomes of tasks whose name no live node defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// They wait for a node that defines it, up to `discard_unknown_after`.
    Wait,
    /// They are discarded at once.
    Discard,
}

/// The words of `unknown_tasks`.
pub(super) const ON_UNKNOWN: [(&str, OnUnknown); 2] = [("wait", OnUnknown::Wait), ("discard", OnUnknown::Discard)];

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            notices: NoticeRule::default(),
            ping_url: None,
            name: None,
            state_dir: PathBuf::from("var"),
            run_dir: PathBuf::from("var/run"),
            log_dir: PathBuf::from("var/log"),
            workers: 10,
            poll_interval: Duration::from_millis(250),
            heartbeat: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            max_payload: DEFAULT_MAX_PAYLOAD,
            max_pickups: DEFAULT_MAX_PICKUPS,
            on_lease_lost: None,
            timeout: None,
            report_full_after: Duration::from_secs(60),
            report_stalled_after: Duration::from_secs(900),
            stop_timeout: Duration::from_secs(30),
            force_timeout: Duration::from_secs(5),
            watchdog: Duration::from_secs(15),
            max_age: None,
            max_memory: None,
            watch_config: true,
            reload_debounce: Duration::from_secs(1),
            refuse_root: false,
            keep_history: Duration::from_secs(30 * 86_400),
            keep_events: Duration::from_secs(7 * 86_400),
            unknown_tasks: OnUnknown::Wait,
            discard_unknown_after: Duration::from_secs(7 * 86_400),
            timezone: None,
        }
    }
}

impl DaemonConfig {
    /// The time zone of schedules and periods that name none.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.timezone.unwrap_or(Tz::UTC)
    }

    /// How long a statement of the daemon may take: as long as its lease, within limits.
    #[must_use]
    pub fn statement_timeout(&self) -> Duration {
        self.lease.clamp(MIN_STATEMENT_TIMEOUT, MAX_STATEMENT_TIMEOUT)
    }

    pub(super) fn read(section: &mut Section<'_>, channels: &[String]) -> Self {
        let default = Self::default();
        let tick = Duration::from_millis(10);
        section.renamed("config_settle", "reload_debounce");
        section.renamed("debounce", "reload_debounce");
        let state_dir = section.text("state_dir").map_or(default.state_dir, PathBuf::from);
        let read = Self {
            name: section.text("name"),
            notices: notify::rule(section, channels),
            ping_url: ping::read(section),
            run_dir: section.text("run_dir").map_or_else(|| state_dir.join("run"), PathBuf::from),
            log_dir: section.text("log_dir").map_or_else(|| state_dir.join("log"), PathBuf::from),
            state_dir,
            workers: section.integer("workers", 1..=10_000).unwrap_or(default.workers),
            poll_interval: section.duration("poll_interval", tick).unwrap_or(default.poll_interval),
            heartbeat: section.duration("heartbeat", tick).unwrap_or(default.heartbeat),
            lease: section.duration("lease", tick * 3).unwrap_or(default.lease),
            max_payload: section.bytes("max_payload", 1..=MAX_PAYLOAD_LIMIT).unwrap_or(default.max_payload),
            max_pickups: section.integer("max_pickups", 1..=1_000_000).unwrap_or(default.max_pickups),
            on_lease_lost: section.choice("on_lease_lost", &OnLeaseLost::WORDS),
            timeout: section.parsed("timeout"),
            report_full_after: section.duration("report_full_after", tick).unwrap_or(default.report_full_after),
            report_stalled_after: section
                .duration("report_stalled_after", tick)
                .unwrap_or(default.report_stalled_after),
            stop_timeout: section.duration("stop_timeout", Duration::ZERO).unwrap_or(default.stop_timeout),
            force_timeout: section.duration("force_timeout", Duration::ZERO).unwrap_or(default.force_timeout),
            watchdog: section.duration("watchdog", Duration::from_secs(1)).unwrap_or(default.watchdog),
            max_age: section.duration("max_age", Duration::from_secs(1)),
            max_memory: section.bytes("max_memory", 1 << 20..=u64::MAX / 2),
            watch_config: section.flag("watch_config").unwrap_or(default.watch_config),
            reload_debounce: section.duration("reload_debounce", tick).unwrap_or(default.reload_debounce),
            refuse_root: section.flag("refuse_root").unwrap_or(default.refuse_root),
            keep_history: section.duration("keep_history", Duration::ZERO).unwrap_or(default.keep_history),
            keep_events: section.duration("keep_events", Duration::from_secs(60)).unwrap_or(default.keep_events),
            unknown_tasks: section.choice("unknown_tasks", &ON_UNKNOWN).unwrap_or(default.unknown_tasks),
            discard_unknown_after: section
                .duration("discard_unknown_after", Duration::ZERO)
                .unwrap_or(default.discard_unknown_after),
            timezone: section.zone("timezone"),
        };
        if read.lease < read.heartbeat * 2 {
            section.refuse("lease", "it must be at least twice the heartbeat: otherwise one late heartbeat ends it");
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

/// Settings of `[supervisor]` that had another name before.
const RENAMED: [(&str, &str); 6] = [
    ("first_delay", "restart_delay"),
    ("max_delay", "max_restart_delay"),
    ("max_falls", "max_restarts"),
    ("window", "restart_window"),
    ("patience", "hang_timeout"),
    ("discard", "recycle_after"),
];

/// `[supervisor]`: when failed modules are restarted, and how a hanging module is detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// Delays and limits of restarts.
    pub restart: RestartPolicy,
    /// Interval between two pings of each module.
    pub ping_interval: Duration,
    /// A module that makes no progress for this long is replaced.
    pub hang_timeout: Duration,
    /// A module is recycled (replaced by a new instance) after this time.
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
                restart_delay: section
                    .duration("restart_delay", Duration::from_millis(1))
                    .unwrap_or(restart.restart_delay),
                max_restart_delay: section.duration("max_restart_delay", tick).unwrap_or(restart.max_restart_delay),
                max_restarts: section.integer("max_restarts", 0..=1_000_000).unwrap_or(restart.max_restarts),
                restart_window: section.duration("restart_window", tick).unwrap_or(restart.restart_window),
            },
            ping_interval: section.duration("ping_interval", tick).unwrap_or(default.ping_interval),
            hang_timeout: section.duration("hang_timeout", tick).unwrap_or(default.hang_timeout),
            recycle_after: section.duration("recycle_after", tick).unwrap_or(default.recycle_after),
        }
    }
}
