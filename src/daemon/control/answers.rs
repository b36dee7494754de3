//! The answers of the control socket: the same objects as `--json` prints.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    clock::machine_time,
    config::{Config, QueueConfig},
    daemon::{
        components::Components,
        lifecycle::status::{ConfigStatus, DaemonStatus, Phase},
        state::{
            command_starts::StartTrouble,
            config_in_force::RefusedVersion,
            module_status::ModuleStatus,
            open_problems::OpenProblem,
            queue_troubles::{FullQueue, UnservedQueue},
            rate_waits::RateWait,
            worker_board::WorkerTrouble,
        },
    },
    domain::{
        identity::QueueName,
        schedule::plan::{Plan, plan},
    },
    store::{EventTroubles, Maintenance, PauseDetails, UnknownName},
    telemetry::LogControl,
};

/// The status of a daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its process id.
    pub pid: i32,
    /// Its version.
    pub version: String,
    /// Its boot id, once its modules run.
    pub node: Option<String>,
    /// What it does now.
    pub phase: Phase,
    /// Its status in one line.
    pub status: String,
    /// The outage whose end it waits for: why the database cannot be used at present.
    pub waiting_for: Option<String>,
    /// Whether it claims nothing for now (`sexton quiet`).
    pub quiet: bool,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// The time since its start, in milliseconds. Earlier versions did not tell it so.
    #[serde(default)]
    pub uptime_ms: u64,
    /// The database's URL, without its password.
    pub database: String,
    /// Where the configuration comes from, and its mistakes.
    pub config: ConfigStatus,
    /// Which deployed version of the configuration is in force, and which one is refused; none without `[deploy]`.
    #[serde(default)]
    pub deployment: Option<Deployment>,
    /// Number of running attempts.
    pub running: usize,
    /// Number of claimed tasks that have not begun.
    pub claimed: usize,
    /// Number of finished attempts that are not recorded yet.
    pub unrecorded: usize,
    /// Number of leftovers of another database that were found on disk and are not applied.
    #[serde(default)]
    pub foreign_leftovers: usize,
    /// A sentence for each module that does not work, with the cause.
    pub unhealthy: Vec<String>,
    /// How many bad rows, attempts, schedules and files are isolated, so that the rest goes on.
    #[serde(default)]
    pub isolated_count: u64,
    /// A sentence for each of the first of them, with the cause.
    #[serde(default)]
    pub isolated: Vec<String>,
    /// What is logged, and where.
    pub log: Value,
    /// The running attempts, the longest first.
    pub tasks: Vec<RunningTask>,
    /// The queues that are closed because they are outside their period, by name, and until when.
    #[serde(default)]
    pub closed_queues: BTreeMap<String, String>,
    /// Why it cannot start commands at present; none if it can.
    #[serde(default)]
    pub command_starts: Option<StartTrouble>,
    /// The worker programs whose processes fail.
    #[serde(default)]
    pub failing_workers: Vec<WorkerTrouble>,
    /// Tasks that wait because no live node defines their name, by name.
    #[serde(default)]
    pub unknown_tasks: Vec<UnknownName>,
    /// The tasks that the configuration disables, by name, and how many of each are set aside.
    #[serde(default)]
    pub disabled_tasks: Vec<DisabledTask>,
    /// Since when everything is paused, by whom and why; none if it is not.
    #[serde(default)]
    pub everything_paused: Option<PauseDetails>,
    /// The maintenance that is in force.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// Queues that have had no free worker on this node for a while, by name.
    #[serde(default)]
    pub full_queues: Vec<FullQueue>,
    /// How many problems last.
    #[serde(default)]
    pub open_problems: usize,
    /// The latest of them.
    #[serde(default)]
    pub problems: Vec<OpenProblem>,
    /// Queues with waiting tasks that no live node serves, by name.
    #[serde(default)]
    pub unserved_queues: Vec<UnservedQueue>,
    /// Queues whose next task waits for a token of a rate, by name.
    #[serde(default)]
    pub rate_waits: Vec<RateWait>,
    /// How many events need a look, as this node has counted them last.
    #[serde(default)]
    pub events: EventTroubles,
    /// The latest events of which this node could make no task, each with the reason.
    #[serde(default)]
    pub refused_events: Vec<String>,
}

/// What the schedules in force will do within a time span.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanInForce {
    /// The daemon's process id.
    pub pid: i32,
    /// The configuration in force.
    pub config: ConfigStatus,
    /// Start of the time span; an instant exactly then is not in it.
    pub from: DateTime<Utc>,
    /// End of the time span; an instant exactly then is in it.
    pub to: DateTime<Utc>,
    /// The instants of each schedule.
    pub schedules: Plan,
}

/// Maximum number of isolated things that are named.
const MAX_ISOLATED: usize = 10;
/// Maximum length of the time span.
const MAX_SPAN: TimeDelta = TimeDelta::days(3_661);

impl PlanInForce {
    /// Computes the plan; `query` is `from=TIME&to=TIME`.
    ///
    /// # Errors
    /// A sentence for people if the query is invalid, or the time span longer than ten years.
    pub(super) fn of(status: &DaemonStatus, query: &str) -> Result<Self, String> {
        let time = |name: &str| {
            let text = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let text = text.ok_or_else(|| format!("`{name}` is missing: a time such as 2026-11-21T10:00:00Z"))?;
            text.parse::<DateTime<Utc>>()
                .map_err(|_| format!("{name}: `{text}` is not a time such as 2026-11-21T10:00:00Z"))
        };
        let (from, to) = (time("from")?, time("to")?);
        if to < from || to - from > MAX_SPAN {
            return Err(format!("from {from} to {to}: the end must follow the start by at most ten years"));
        }
        let config = status.in_force();
        let schedules = plan(config.schedules_that_fire(), &config.periods, from, to);
        Ok(Self { pid: pid(), config: status.config(), from, to, schedules })
    }
}

fn pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}

/// The queues of a configuration that are outside their period.
fn closed_queues(config: &Config, now: DateTime<Utc>) -> BTreeMap<String, String> {
    let closed = |(name, queue): (&QueueName, &QueueConfig)| {
        Some((name.to_string(), config.periods.get(queue.period.as_ref()?)?.outside_in_words(now)?))
    };
    config.queues.iter().filter_map(closed).collect()
}

/// A running attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunningTask {
    /// The task's number.
    pub id: i64,
    /// The name of its task definition.
    pub name: String,
    /// The queue it was claimed from.
    pub queue: String,
    /// The number of the attempt, from 1.
    pub attempt: i32,
    /// The time since its start, in milliseconds.
    pub running_ms: u64,
}

impl Status {
    /// The status now.
    pub(super) fn of(status: &DaemonStatus, log: &LogControl) -> Self {
        let components = status.components();
        let counts = components.map(|components| components.in_flight.counts());
        Self {
            pid: pid(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: components.map(|components| components.identity.id.to_string()),
            phase: status.phase(),
            status: status.line(),
            waiting_for: status.waiting_for(),
            quiet: status.is_quiet(),
            started_at: status.started_at(),
            uptime_ms: millis(status.age()),
            database: status.database(),
            config: status.config(),
            deployment: deployment(status),
            running: counts.as_ref().map_or(0, |counts| counts.running),
            claimed: counts.as_ref().map_or(0, |counts| counts.waiting),
            unrecorded: counts.as_ref().map_or(0, |counts| counts.finished),
            foreign_leftovers: components.map_or(0, |components| components.foreign.count()),
            unhealthy: components.map(|components| components.modules.unhealthy()).unwrap_or_default(),
            isolated_count: components.map_or(0, |components| components.store.isolated().count()),
            isolated: components
                .map(|components| components.store.isolated().sentences(MAX_ISOLATED))
                .unwrap_or_default(),
            log: serde_json::to_value(log.describe()).unwrap_or_default(),
            tasks: tasks(status),
            command_starts: components.and_then(|components| components.starts.trouble()),
            failing_workers: components.map(|components| components.worker_board.troubles()).unwrap_or_default(),
            everything_paused: components.and_then(|components| components.all_paused.get()),
            maintenance: components.and_then(|components| components.all_paused.maintenance()),
            unknown_tasks: components.map(|components| components.unknown_tasks.undefined()).unwrap_or_default(),
            disabled_tasks: components.map(disabled_tasks).unwrap_or_default(),
            open_problems: components.map_or(0, |components| components.open_problems.count()),
            problems: components.map(|components| components.open_problems.named()).unwrap_or_default(),
            full_queues: status.full_queues(),
            unserved_queues: components.map(|components| components.unserved.all()).unwrap_or_default(),
            rate_waits: components.map(|components| components.rate_waits.all()).unwrap_or_default(),
            events: components.map(|components| components.events.troubles()).unwrap_or_default(),
            refused_events: components.map(|components| components.events.refused()).unwrap_or_default(),
            closed_queues: closed_queues(
                &status.in_force(),
                components.map_or_else(machine_time, |components| components.clock.now()),
            ),
        }
    }
}

/// The modules; none before they run.
pub(super) fn modules(status: &DaemonStatus) -> Vec<Module> {
    let Some(components) = status.components() else { return Vec::new() };
    let node = &components.identity.id;
    components.modules.all().into_iter().map(|status| Module { node: node.to_string(), status }).collect()
}

/// A task definition that is switched off.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DisabledTask {
    /// Its name.
    pub name: String,
    /// What becomes of its tasks: `wait` or `refuse`.
    pub when_disabled: String,
    /// How many of its tasks are set aside.
    pub tasks: i64,
    /// Since when the first of them is set aside.
    pub since: Option<DateTime<Utc>>,
}

/// The definitions that the configuration disables.
fn disabled_tasks(components: &Arc<Components>) -> Vec<DisabledTask> {
    let waiting = components.unknown_tasks.all();
    let config = components.config();
    let disabled = config.tasks.values().filter_map(|task| {
        let when = task.disabled?;
        let waits = waiting.iter().find(|waits| waits.disabled && waits.name == task.name);
        Some(DisabledTask {
            name: task.name.clone(),
            when_disabled: when.word().to_owned(),
            tasks: waits.map_or(0, |waits| waits.tasks),
            since: waits.map(|waits| waits.since),
        })
    });
    disabled.collect()
}

/// The deployed version of a daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// The number in force.
    pub in_force: Option<i64>,
    /// The key that has signed it.
    pub signer: Option<String>,
    /// The version that is refused.
    pub refused: Option<RefusedVersion>,
}

fn deployment(status: &DaemonStatus) -> Option<Deployment> {
    let config = status.in_force();
    config.deploy.as_ref()?;
    let version = config.deployed.as_ref();
    Some(Deployment {
        in_force: version.map(|version| version.manifest.number),
        signer: version.map(|version| version.signer.clone()),
        refused: status.components().and_then(|components| components.in_force.refused_version()),
    })
}

/// A module and its node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Module {
    /// The boot id of the node.
    pub node: String,
    /// The status of the module.
    #[serde(flatten)]
    pub status: ModuleStatus,
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// The running attempts, the longest first.
pub(super) fn tasks(status: &DaemonStatus) -> Vec<RunningTask> {
    let running = status.components().map(|components| components.in_flight.running()).unwrap_or_default();
    running
        .into_iter()
        .map(|running| RunningTask {
            id: running.task.claim.task_id,
            name: running.task.name,
            queue: running.task.queue.to_string(),
            attempt: running.task.attempt,
            running_ms: millis(running.since),
        })
        .collect()
}
