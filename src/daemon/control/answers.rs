//! What the control socket tells: the same objects as `--json` prints.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    clock::machine_time,
    config::{Config, QueueConfig},
    daemon::{
        lifecycle::status::{ConfigStatus, DaemonStatus, Phase},
        state::module_status::ModuleStatus,
    },
    domain::schedule::plan::{Plan, plan},
    telemetry::LogControl,
};

/// How a daemon does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: i32,
    /// Its version.
    pub version: String,
    /// Its boot id, once it is up.
    pub node: Option<String>,
    /// What it is about.
    pub phase: Phase,
    /// The same and more, in one line.
    pub status: String,
    /// What it waits for.
    pub waiting_for: Option<String>,
    /// Whether it claims nothing for now.
    pub quiet: bool,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// How long ago that was, in seconds.
    pub uptime_s: u64,
    /// The database's address, without its password.
    pub database: String,
    /// The configuration.
    pub config: ConfigStatus,
    /// Attempts that run.
    pub running: usize,
    /// Tasks that are claimed and have not begun.
    pub claimed: usize,
    /// Attempts that have ended and are not yet recorded.
    pub unrecorded: usize,
    /// The modules that are not at work, and why.
    pub ailing: Vec<String>,
    /// What is logged.
    pub log: Value,
    /// The attempts that run.
    pub tasks: Vec<RunningTask>,
    /// The queues that wait because they are outside their period, by name, and until when.
    #[serde(default)]
    pub shut: BTreeMap<String, String>,
}

/// What the schedules in force will do within a stretch of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanInForce {
    /// The daemon's process.
    pub pid: i32,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// After this.
    pub from: DateTime<Utc>,
    /// Until then.
    pub to: DateTime<Utc>,
    /// The instants of each schedule.
    pub schedules: Plan,
}

/// Longer stretches are not worked out.
const LONGEST: TimeDelta = TimeDelta::days(3_661);

impl PlanInForce {
    /// Works it out; `query` is `from=TIME&to=TIME`.
    ///
    /// # Errors
    /// If it is something else, in words for people.
    pub(super) fn of(desk: &DaemonStatus, query: &str) -> Result<Self, String> {
        let time = |name: &str| {
            let text = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let text = text.ok_or_else(|| format!("`{name}` is missing: a time such as 2026-11-21T10:00:00Z"))?;
            text.parse::<DateTime<Utc>>()
                .map_err(|_| format!("{name}: `{text}` is no time such as 2026-11-21T10:00:00Z"))
        };
        let (from, to) = (time("from")?, time("to")?);
        if to < from || to - from > LONGEST {
            return Err(format!("from {from} to {to} is no stretch of time of at most ten years"));
        }
        let config = desk.in_force();
        let schedules = plan(config.schedules(), &config.periods, from, to);
        Ok(Self { pid: pid(), config: desk.config(), from, to, schedules })
    }
}

fn pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}

/// The queues of a configuration that are outside their period.
fn shut(config: &Config, now: DateTime<Utc>) -> BTreeMap<String, String> {
    let shut = |(name, queue): (&String, &QueueConfig)| {
        Some((name.clone(), config.periods.get(queue.period.as_ref()?)?.outside_in_words(now)?))
    };
    config.queues.iter().filter_map(shut).collect()
}

/// An attempt that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningTask {
    /// The task.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its queue.
    pub queue: String,
    /// Which attempt it is.
    pub attempt: i32,
    /// For how long it has run, in milliseconds.
    pub running_ms: u64,
}

impl Status {
    /// Reads it off the desk.
    pub(super) fn of(desk: &DaemonStatus, log: &LogControl) -> Self {
        let shared = desk.shared();
        let counts = shared.map(|shared| shared.hand.counts());
        Self {
            pid: pid(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: shared.map(|shared| shared.node.clone()),
            phase: desk.phase(),
            status: desk.status_line(),
            waiting_for: desk.waiting_for(),
            quiet: shared.is_some_and(|shared| shared.hand.is_quiet()),
            started_at: desk.started_at(),
            uptime_s: desk.age().as_secs(),
            database: desk.database(),
            config: desk.config(),
            running: counts.as_ref().map_or(0, |counts| counts.running),
            claimed: counts.as_ref().map_or(0, |counts| counts.waiting),
            unrecorded: counts.as_ref().map_or(0, |counts| counts.finished),
            ailing: shared.map(|shared| shared.board.ailing()).unwrap_or_default(),
            log: serde_json::to_value(log.describe()).unwrap_or_default(),
            tasks: tasks(desk),
            shut: shut(&desk.in_force(), shared.map_or_else(machine_time, |shared| shared.clock.now())),
        }
    }
}

/// The modules; none while the daemon is not up.
pub(super) fn modules(desk: &DaemonStatus) -> Vec<Module> {
    let Some(shared) = desk.shared() else { return Vec::new() };
    shared.board.read().into_iter().map(|status| Module { node: shared.node.clone(), status }).collect()
}

/// A module, and whose it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Module {
    /// The node.
    pub node: String,
    /// The module.
    #[serde(flatten)]
    pub status: ModuleStatus,
}

/// The attempts that run, the longest first.
pub(super) fn tasks(desk: &DaemonStatus) -> Vec<RunningTask> {
    let mut running = desk.shared().map(|shared| shared.hand.running()).unwrap_or_default();
    running.sort_by_key(|running| std::cmp::Reverse(running.since));
    let told = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    running
        .into_iter()
        .map(|running| RunningTask {
            id: running.task.id,
            name: running.task.name,
            queue: running.task.queue,
            attempt: running.task.attempt,
            running_ms: told(running.since),
        })
        .collect()
}
