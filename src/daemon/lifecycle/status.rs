//! The daemon's status: what is known about it from its first moment to its last, also while its modules do not run.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sexton_client::principal::Principal;
use sexton_entities::states::Via;

use crate::{
    clock::machine_time,
    config::Config,
    daemon::{
        components::Components,
        state::queue_troubles::{FullQueue, full_queues},
    },
    domain::text::{plural::counted, redact::redacted},
};

/// The first round of the adopter is named after this time.
const LONG_ADOPTION: Duration = Duration::from_secs(5);
/// A stop that was announced longer ago has not come: who stops the daemon now is somebody else.
const ANNOUNCED_FOR: Duration = Duration::from_secs(60);
/// Environment variable that makes a daemon start without claiming. A quiet daemon sets it when it restarts itself.
pub const QUIET: &str = "SEXTON_QUIET";

/// What the daemon does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It connects to the database and updates the tables.
    Starting,
    /// It waits for the first answer of its database.
    WaitingForDatabase,
    /// Its modules run.
    Running,
    /// It stops to restart itself.
    Restarting,
    /// It stops.
    Stopping,
}

/// The configuration as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The main file; none if only defaults and the environment count.
    pub file: Option<PathBuf>,
    /// When the configuration in force was read.
    pub loaded_at: DateTime<Utc>,
    /// The mistakes of a newer configuration, which therefore is not in force.
    pub mistakes: Option<String>,
    /// Changed sections that take effect at the next start.
    pub needs_restart: Vec<String>,
}

/// The daemon's status. Clones share it.
#[derive(Clone)]
pub(in crate::daemon) struct DaemonStatus {
    inner: Arc<StatusInner>,
}

struct StatusInner {
    started: Instant,
    started_at: DateTime<Utc>,
    components: OnceLock<Arc<Components>>,
    /// It had to wait for the database at its start.
    has_waited: AtomicBool,
    facts: Mutex<StatusFacts>,
}

struct StatusFacts {
    phase: Phase,
    /// The outage for which it waits, as text.
    waiting_for: Option<String>,
    /// Why it stops by itself.
    reason: Option<String>,
    /// Who stops it, if that is known. A signal does not tell.
    stopped_by: Option<(Principal, Instant)>,
    config: ConfigStatus,
    /// The configuration that counts until the modules run.
    first: Arc<Config>,
    /// The database's URL, without its password.
    database: String,
    /// It claims nothing. Known here before there is anything that could claim.
    is_quiet: bool,
}

impl DaemonStatus {
    /// The status of a daemon that starts.
    pub(in crate::daemon) fn new(file: Option<PathBuf>, first: Arc<Config>) -> Self {
        let database = redacted(&first.database.url);
        let config = ConfigStatus { file, loaded_at: machine_time(), mistakes: None, needs_restart: Vec::new() };
        let is_quiet = std::env::var_os(QUIET).is_some();
        let facts = StatusFacts {
            phase: Phase::Starting,
            waiting_for: None,
            reason: None,
            stopped_by: None,
            config,
            first,
            database,
            is_quiet,
        };
        let inner = StatusInner {
            started: Instant::now(),
            started_at: machine_time(),
            components: OnceLock::new(),
            has_waited: AtomicBool::new(false),
            facts: Mutex::new(facts),
        };
        Self { inner: Arc::new(inner) }
    }

    fn facts<T>(&self, with: impl FnOnce(&mut StatusFacts) -> T) -> T {
        with(&mut self.inner.facts.lock())
    }

    /// The modules run.
    pub(in crate::daemon) fn set_running(&self, components: Arc<Components>) {
        components.in_flight.set_quiet(self.is_quiet());
        if let Some(mistakes) = self.config().mistakes {
            components.in_force.note_refused(&mistakes);
        }
        let _ = self.inner.components.set(components);
        self.enter(Phase::Running, None);
    }

    /// The daemon's parts, once its modules run.
    pub(in crate::daemon) fn components(&self) -> Option<&Arc<Components>> {
        self.inner.components.get()
    }

    /// The daemon enters a phase.
    pub(in crate::daemon) fn enter(&self, phase: Phase, waiting_for: Option<String>) {
        if phase == Phase::WaitingForDatabase {
            self.inner.has_waited.store(true, Ordering::Relaxed);
        }
        self.facts(|facts| {
            facts.phase = phase;
            facts.waiting_for = waiting_for;
        });
    }

    /// The daemon is about to stop by itself, for this reason.
    pub(in crate::daemon) fn note_reason(&self, reason: String) {
        self.facts(|facts| facts.reason = Some(reason));
    }

    /// Somebody is about to stop the daemon, or has asked it to stop.
    pub(in crate::daemon) fn note_stop(&self, by: Principal) {
        self.facts(|facts| facts.stopped_by = Some((by, Instant::now())));
    }

    /// Who has stopped the daemon, as far as it is known.
    pub(in crate::daemon) fn stopped_by(&self) -> Principal {
        let (by, reason) = self.facts(|facts| (facts.stopped_by.clone(), facts.reason.clone()));
        match (by.filter(|(_, at)| at.elapsed() < ANNOUNCED_FOR), reason) {
            (Some((by, _)), _) => by,
            (None, Some(reason)) => Principal::of_this_process(Via::Daemon).because(Some(reason)),
            (None, None) => Principal::unknown(Via::Signal),
        }
    }

    /// Stops claiming, or claims again.
    pub(in crate::daemon) fn set_quiet(&self, quiet: bool) {
        self.facts(|facts| facts.is_quiet = quiet);
        if let Some(components) = self.components() {
            components.in_flight.set_quiet(quiet);
        }
        tracing::info!(
            "{}",
            if quiet { "claiming nothing until CONT or `sexton quiet --off`" } else { "claiming again" }
        );
    }

    pub(in crate::daemon) fn is_quiet(&self) -> bool {
        self.facts(|facts| facts.is_quiet)
    }

    /// Whether it had to wait for the database at its start.
    pub(in crate::daemon) fn has_waited(&self) -> bool {
        self.inner.has_waited.load(Ordering::Relaxed)
    }

    pub(in crate::daemon) fn phase(&self) -> Phase {
        self.facts(|facts| facts.phase)
    }

    pub(in crate::daemon) fn waiting_for(&self) -> Option<String> {
        let of_heartbeat = self.components().and_then(|components| components.lease.silence());
        self.facts(|facts| facts.waiting_for.clone()).or(of_heartbeat)
    }

    pub(in crate::daemon) fn age(&self) -> Duration {
        self.inner.started.elapsed()
    }

    pub(in crate::daemon) fn started_at(&self) -> DateTime<Utc> {
        self.inner.started_at
    }

    pub(in crate::daemon) fn config(&self) -> ConfigStatus {
        self.facts(|facts| facts.config.clone())
    }

    pub(in crate::daemon) fn database(&self) -> String {
        self.facts(|facts| facts.database.clone())
    }

    /// The configuration in force.
    pub(in crate::daemon) fn in_force(&self) -> Arc<Config> {
        self.components().map_or_else(|| self.facts(|facts| facts.first.clone()), |components| components.config())
    }

    /// Another configuration counts before the modules run.
    pub(in crate::daemon) fn note_first(&self, first: Arc<Config>) {
        self.facts(|facts| facts.first = first);
    }

    /// Another configuration is in force.
    pub(in crate::daemon) fn note_config(&self, database: String) {
        self.facts(|facts| {
            facts.database = database;
            facts.config.loaded_at = machine_time();
            facts.config.mistakes = None;
        });
    }

    /// Sections that have changed and take effect at the next start.
    pub(in crate::daemon) fn note_needs_restart(&self, sections: &[&str]) {
        self.facts(|facts| {
            facts.config.needs_restart = sections.iter().map(|&section| section.to_owned()).collect();
        });
    }

    /// A newer configuration has mistakes. Returns whether they were not known yet.
    pub(in crate::daemon) fn note_mistakes(&self, mistakes: &str) -> bool {
        self.facts(|facts| facts.config.mistakes.replace(mistakes.to_owned()).as_deref() != Some(mistakes))
    }

    /// The queues that have had no free worker on this node for a while.
    pub(in crate::daemon) fn full_queues(&self) -> Vec<FullQueue> {
        let least = self.in_force().daemon.report_full_after;
        self.components().map(|components| full_queues(&components.in_flight, least)).unwrap_or_default()
    }

    /// The status in one line, for systemd and `sexton status`.
    pub(in crate::daemon) fn line(&self) -> String {
        let (phase, waiting_for) = self.facts(|facts| (facts.phase, facts.waiting_for.clone()));
        let Some(components) = self.components() else {
            return match waiting_for {
                Some(outage) => format!("waiting for the database: {outage}"),
                None => "starting".to_owned(),
            };
        };
        let counts = components.in_flight.counts();
        let running = counted(counts.running, "task");
        let mut line = match phase {
            Phase::Stopping => format!("stopping: {running} still running"),
            Phase::Restarting => format!("restarting: {running} still running"),
            _ => format!("running {running}, {} claimed", counts.waiting),
        };
        if let Some(reason) = self.facts(|facts| facts.reason.clone()) {
            line += &format!("; {reason}");
        }
        if counts.finished > 0 {
            line += &format!(", {} to be recorded", counts.finished);
        }
        if let Some(why) = components.lease.silence() {
            line += &format!("; {why}");
        }
        if components.lease.is_lost() {
            line += "; the lease is lost: nothing new begins";
        }
        if !components.milestones.has_adopted() && components.started.elapsed() > LONG_ADOPTION {
            line += "; claiming nothing yet: what earlier daemons left behind is being recorded and adopted";
        }
        if let count @ 1.. = components.open_problems.count() {
            line += &format!("; {} open", counted(count, "problem"));
        }
        if self.is_quiet() {
            line += "; quiet: claiming nothing";
        }
        if components.all_paused.get().is_some() {
            line += "; everything is paused: claiming nothing";
        }
        if components.all_paused.maintenance().is_some() {
            line += "; maintenance is on: claiming nothing";
        }
        if let Some(full) = self.full_queues().first() {
            line += &format!("; queue {} {}", full.queue, full.words());
        }
        if let Some(unserved) = components.unserved.all().first() {
            line += &format!("; queue {}: {}", unserved.queue, unserved.words());
        }
        if let Some(trouble) = components.starts.trouble() {
            line += &format!("; cannot start commands: {}", trouble.reason);
        }
        if let Some(trouble) = components.worker_board.troubles().first() {
            line += &format!("; worker {}: {}", trouble.worker, trouble.words());
        }
        let foreign = components.foreign.count();
        if foreign > 0 {
            line += &format!("; {} of another database not applied", counted(foreign, "leftover"));
        }
        if let Some(module) = components.modules.unhealthy().first() {
            line += &format!("; module {module}");
        }
        if let count @ 1.. = components.store.isolated().count() {
            line += &format!("; {} isolated", counted(count, "fault"));
        }
        if let Some(refused) = components.in_force.refused_version() {
            line += &format!("; version {} of the configuration is refused", refused.number);
        }
        if self.facts(|facts| facts.config.mistakes.is_some()) {
            line += "; the new configuration has mistakes, the old one stays in force";
        }
        line
    }
}
