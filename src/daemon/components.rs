//! The parts of one daemon, put together once. They outlive every module.
//!
//! Only the composition and the daemon's life (startup, reload, shutdown, status, control socket) hold all of them. A
//! module gets the few that it needs from its factory (`modules::built_in`), and what every module may use from its
//! [`ModuleContext`](super::ModuleContext).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Instant,
};

use parking_lot::Mutex;
use sexton_client::client::Client;
use sexton_entities::states::NodeState;
use tokio::sync::mpsc::Sender;

use super::{
    inflight::InFlight,
    lifecycle::requests::Request,
    metrics::{LastAnswer, MetricsSource},
    module::Surroundings,
    state::{
        all_paused::AllPaused,
        attempt_spool::Spool,
        audit_trail::AuditTrail,
        begun_attempts::BegunAttempts,
        command_starts::CommandStarts,
        config_in_force::{ConfigInForce, LocalEnqueueContext},
        event_board::EventBoard,
        foreign_leftovers::ForeignLeftovers,
        latest_outlook::LatestOutlook,
        lease::Lease,
        liveness::Liveness,
        milestones::Milestones,
        module_status::ModuleStatuses,
        open_problems::OpenProblems,
        pings::Pings,
        programs::Programs,
        queue_troubles::UnservedQueues,
        rate_waits::RateWaits,
        this_node::NodeIdentity,
        unknown_tasks::UnknownTasks,
        wakers::{WakeReason, Wakers},
        worker_board::WorkerBoard,
    },
    supervision::supervisor_handle::SupervisorHandle,
    workers::attempt_executor::Executor,
};
use crate::{
    clock::Clock,
    config::{Config, FileStamp},
    domain::{
        identity::{ModuleName, QueueName},
        task::names::TaskNames,
    },
    handler::{AppData, Registry, WorkerLines},
    service::has_restarted,
    shepherd::{LeaseFiles, Shepherds},
    store::{ConnectOptions, Store},
    telemetry::AttemptSpans,
};

/// What is wrong if the collector does not take spans.
const UNEXPORTED: &str = "traces cannot be exported";

/// Everything that one daemon consists of beside its modules.
pub struct Components {
    /// Which node it is.
    pub identity: NodeIdentity,
    /// The database.
    pub store: Store,
    /// How the database was connected.
    pub connect: ConnectOptions,
    /// The time.
    pub clock: Clock,
    /// Enqueues tasks.
    pub client: Client,
    /// The configuration in force.
    pub in_force: ConfigInForce,
    /// What is claimed and not yet recorded.
    pub in_flight: InFlight,
    /// Wakes modules.
    pub wakers: Wakers,
    /// The status of each module.
    pub modules: ModuleStatuses,
    /// The node's lease, for the shepherds of commands that must end before it does.
    pub lease_files: LeaseFiles,
    /// The node's lease.
    pub lease: Arc<Lease>,
    /// Signs of life of the vital modules.
    pub liveness: Arc<Liveness>,
    /// Tasks that wait because no live node defines their name.
    pub unknown_tasks: UnknownTasks,
    /// Whether everything is paused.
    pub all_paused: AllPaused,
    /// Events that need a look.
    pub events: EventBoard,
    /// Queues with tasks that no live node serves.
    pub unserved: UnservedQueues,
    /// Queues that wait for a token of a rate.
    pub rate_waits: RateWaits,
    /// The problems that last.
    pub open_problems: OpenProblems,
    /// Whether commands can be started.
    pub starts: CommandStarts,
    pub(super) outlook: LatestOutlook,
    /// The daemon's start.
    pub started: Instant,
    asked: LastAnswer,
    pub(super) audit: AuditTrail,
    pub(super) begun: Arc<BegunAttempts>,
    pub(super) milestones: Arc<Milestones>,
    pub(super) spool: Spool,
    pub(super) foreign: ForeignLeftovers,
    pub(super) pings: Pings,
    pub(super) spans: AttemptSpans,
    pub(super) shepherds: Shepherds,
    pub(super) processes: Arc<Programs>,
    /// Where tasks wait for worker processes.
    pub(super) worker_lines: WorkerLines,
    /// What worker processes do.
    pub worker_board: WorkerBoard,
    pub(super) config_files: Arc<ConfigFiles>,
    pub(super) requests: Sender<Request>,
    app_data: AppData,
    supervisor: OnceLock<SupervisorHandle>,
}

/// The files of the configuration, as the daemon last read them.
pub(super) struct ConfigFiles {
    /// The main file; none for the defaults alone.
    pub(super) file: Option<PathBuf>,
    pub(super) seen: Mutex<Option<FileStamp>>,
}

/// What a daemon has beside its configuration and its database.
pub(super) struct Equipment {
    pub(super) registry: Registry,
    pub(super) app_data: AppData,
    pub(super) clock: Clock,
    /// The program of the shepherds.
    pub(super) program: PathBuf,
    /// The main configuration file.
    pub(super) file: Option<PathBuf>,
    /// Where requests to the daemon go.
    pub(super) requests: Sender<Request>,
}

impl Components {
    /// Puts a daemon together.
    pub(super) fn new(config: Config, store: Store, connect: ConnectOptions, equipment: Equipment) -> Self {
        let Equipment { registry, mut app_data, clock, program, file, requests } = equipment;
        let identity = NodeIdentity::new(&config);
        let state_dir = config.daemon.state_dir.clone();
        let seen = Mutex::new(file.as_deref().map(|file| FileStamp::of(file, config.named_files())));
        let wakers = Wakers::default();
        let liveness = Arc::new(Liveness::new(config.supervisor.ping_interval));
        let in_force = ConfigInForce::new(config, registry);
        let enqueue = LocalEnqueueContext { in_force: in_force.clone(), wakers: wakers.clone() };
        let client = Client::inside(store.clone(), Arc::new(enqueue));
        app_data.insert(client.clone());
        app_data.insert(store.clone());
        app_data.insert(connect.clone());
        let shepherds = Shepherds::new(&state_dir.join("attempts"), identity.id.clone(), program.clone());
        app_data.insert(shepherds.clone());
        let worker_lines = WorkerLines::default();
        app_data.insert(worker_lines.clone());
        let foreign = ForeignLeftovers::new(store.known_database_id().cloned());
        if let Some(database) = foreign.own() {
            app_data.insert(database.clone());
        }
        let processes = Programs::new(Shepherds::new(&state_dir.join("modules"), identity.id.clone(), program));
        let in_flight = InFlight::new(identity.id.clone(), &wakers);
        let spans = spans(&in_force.config(), &identity, &store);
        let components = Self {
            audit: AuditTrail::new(store.clone()),
            store,
            connect,
            clock,
            client,
            lease: in_flight.lease().clone(),
            lease_files: LeaseFiles::default(),
            pings: Pings::new(&wakers),
            spans,
            in_flight,
            identity,
            in_force,
            wakers,
            modules: ModuleStatuses::default(),
            liveness,
            unknown_tasks: UnknownTasks::default(),
            all_paused: AllPaused::default(),
            events: EventBoard::default(),
            unserved: UnservedQueues::default(),
            rate_waits: RateWaits::default(),
            open_problems: OpenProblems::default(),
            outlook: LatestOutlook::default(),
            starts: CommandStarts::new(shepherds.clone()),
            begun: Arc::new(BegunAttempts::new(shepherds.clone(), foreign.own().cloned())),
            started: Instant::now(),
            asked: LastAnswer::default(),
            milestones: Arc::new(Milestones::new(has_restarted())),
            spool: Spool::new(state_dir.join("spool"), foreign.clone()),
            foreign,
            shepherds,
            processes: Arc::new(processes),
            worker_lines,
            worker_board: WorkerBoard::default(),
            config_files: Arc::new(ConfigFiles { file, seen }),
            requests,
            app_data,
            supervisor: OnceLock::new(),
        };
        components.set_workers();
        components
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.in_force.config()
    }

    /// The names of the tasks that this node can execute now.
    pub(super) fn claimable_names(&self) -> Arc<TaskNames> {
        match self.starts.is_open() {
            false => self.in_force.names(),
            true => self.in_force.names_without_commands(),
        }
    }

    /// Puts another configuration in force, and makes modules act on it.
    pub(super) fn set_config(&self, config: Config) {
        self.store.set_max_payload(config.daemon.max_payload);
        self.in_force.replace(config);
        self.set_workers();
        for module in [
            ModuleName::CRON,
            ModuleName::TRIGGERS,
            ModuleName::PATHS,
            ModuleName::WORKERS,
            ModuleName::DISPATCHER,
            ModuleName::RECORDER,
            ModuleName::NODE,
            ModuleName::CONFIG_SYNC,
            ModuleName::METRICS,
            ModuleName::OBSERVER,
            ModuleName::PINGER,
            ModuleName::WORKER_PROCESSES,
        ] {
            self.wakers.wake(&module, WakeReason::Configured);
        }
        if let Some(supervisor) = self.supervisor() {
            supervisor.reconfigure();
        }
    }

    fn set_workers(&self) {
        let config = self.config();
        let mut workers: BTreeMap<QueueName, usize> =
            config.queues.iter().map(|(queue, settings)| (queue.clone(), settings.workers)).collect();
        for definition in self.in_force.registry().definitions() {
            workers.entry(definition.queue.clone()).or_insert(config.daemon.workers);
        }
        self.in_flight.configure(&workers);
    }

    /// What every module may use.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings {
            store: self.store.clone(),
            client: self.client.clone(),
            clock: self.clock.clone(),
            in_force: self.in_force.clone(),
            app_data: Arc::new(self.app_data.clone()),
        }
    }

    /// What makes attempts.
    pub(super) fn executor(&self) -> Executor {
        Executor {
            node: self.identity.clone(),
            in_force: self.in_force.clone(),
            in_flight: self.in_flight.clone(),
            starts: self.starts.clone(),
            begun: self.begun.clone(),
            pings: self.pings.clone(),
            spans: self.spans.clone(),
            clock: self.clock.clone(),
            app_data: self.app_data.clone(),
        }
    }

    /// What the metrics are read from.
    pub(super) fn metrics_source(&self) -> MetricsSource {
        MetricsSource {
            store: self.store.clone(),
            in_flight: self.in_flight.clone(),
            modules: self.modules.clone(),
            problems: self.open_problems.clone(),
            spool: self.spool.clone(),
            started: self.started,
            asked: self.asked.clone(),
        }
    }

    /// The supervisor, once it is started.
    pub fn supervisor(&self) -> Option<&SupervisorHandle> {
        self.supervisor.get()
    }

    /// Notes where the supervisor is reached.
    pub(super) fn set_supervisor(&self, supervisor: SupervisorHandle) {
        let _ = self.supervisor.set(supervisor);
    }

    /// What this node does now.
    pub fn node_state(&self) -> NodeState {
        node_state(&self.in_flight)
    }
}

/// Takes the spans of attempts. What is wrong with their export is shown by `status`.
fn spans(config: &Config, identity: &NodeIdentity, store: &Store) -> AttemptSpans {
    let store = store.clone();
    let tell = move |trouble: Option<String>| match trouble {
        Some(why) => store.isolated().note(UNEXPORTED, why),
        None => store.isolated().forget(UNEXPORTED),
    };
    AttemptSpans::new(config.trace.endpoint.as_deref(), identity.id.as_str(), tell)
}

/// What a node does with that in flight.
pub(super) fn node_state(in_flight: &InFlight) -> NodeState {
    match (in_flight.is_closed(), in_flight.is_quiet()) {
        (true, _) => NodeState::Draining,
        (false, true) => NodeState::Quiet,
        (false, false) => NodeState::Running,
    }
}
