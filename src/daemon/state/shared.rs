//! What the modules of one daemon share.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, RwLock};
use sexton_entities::states::NodeState;

use super::{lease::Lease, liveness::Liveness, module_status::ModuleStatuses, processes::Processes, wakers::Wakers};
use crate::{
    client::{Client, EnqueueContext},
    clock::Clock,
    config::{Config, FileStamp},
    daemon::{
        inflight::InFlight,
        supervision::messages::{Reconfigure, RestartModule, SupervisorAddr},
    },
    domain::{
        identity::{NodeId, QueueName},
        task::{NewTask, definition::TaskDefinition, limits::ConcurrencyLimits},
    },
    handler::{AppData, Registry},
    service::RESTARTED,
    shepherd::Shepherds,
    store::{ConnectOptions, Store, Wakeup},
};

/// One daemon's common ground. It is made once and outlives every module.
pub struct Shared {
    /// The boot id.
    pub node: NodeId,
    /// What the configuration calls this node.
    pub name: String,
    /// The machine.
    pub host: String,
    /// The database.
    pub store: Store,
    /// How it was connected.
    pub connect: ConnectOptions,
    /// The time.
    pub clock: Clock,
    /// Who executes what.
    pub registry: Registry,
    /// What the application shares.
    pub app_data: AppData,
    /// For enqueuing.
    pub client: Client,
    /// Claimed tasks.
    pub hand: InFlight,
    /// Who wakes whom.
    pub bells: Wakers,
    /// What the modules do.
    pub board: ModuleStatuses,
    /// How long ago the lease was prolonged.
    pub lease: Lease,
    /// Where finished attempts wait for the database.
    pub spool_dir: PathBuf,
    /// Who stands over commands.
    pub shepherds: Shepherds,
    /// The configuration's file.
    pub config_file: Option<PathBuf>,
    /// How the configuration's files looked when they were seen last.
    pub config_seen: Mutex<Option<FileStamp>>,
    /// The programs that are kept running.
    pub processes: Processes,
    /// Whether the modules live on which everything else depends.
    pub pulse: Liveness,
    /// The daemon's start.
    pub started: Instant,
    supervisor: OnceLock<SupervisorAddr>,
    hears_all: AtomicBool,
    has_adopted: AtomicBool,
    has_begun: AtomicBool,
    definitions: Arc<Definitions>,
}

/// What a daemon brings along beside its configuration and its database.
pub struct DaemonParts {
    /// Who executes what.
    pub registry: Registry,
    /// What the application shares.
    pub app_data: AppData,
    /// The time.
    pub clock: Clock,
    /// What shepherds are made of.
    pub program: PathBuf,
    /// The configuration's file.
    pub file: Option<PathBuf>,
}

/// The configuration in force, and every definition that comes of it and of the registered handlers, by name.
struct InForce {
    config: Arc<Config>,
    definitions: HashMap<String, Arc<TaskDefinition>>,
    bounds: Arc<ConcurrencyLimits>,
}

/// What is in force, where a reload can exchange it.
struct Definitions {
    current: RwLock<Arc<InForce>>,
    bells: Wakers,
}

impl Definitions {
    fn current(&self) -> Arc<InForce> {
        self.current.read().clone()
    }
}

impl EnqueueContext for Definitions {
    fn wake(&self, wakeup: Wakeup) {
        self.bells.announce(wakeup);
    }

    fn fill_in(&self, task: &mut NewTask) {
        let current = self.current();
        let Some(definition) = current.definitions.get(&task.name) else { return };
        task.queue.get_or_insert_with(|| definition.queue.clone());
        task.priority.get_or_insert(definition.priority);
    }
}

impl Shared {
    /// Puts a daemon's common ground together.
    pub fn new(config: Config, store: Store, connect: ConnectOptions, own: DaemonParts) -> Self {
        let DaemonParts { registry, mut app_data, clock, program, file } = own;
        let host = nix::unistd::gethostname()
            .map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned());
        let name = config.daemon.name.clone().unwrap_or_else(|| host.clone());
        let random = uuid::Uuid::new_v4().simple().to_string();
        let node = NodeId::from(format!("{name}-{}", &random[..12]));
        let state_dir = config.daemon.state_dir.clone();
        let spool_dir = state_dir.join("spool");
        let config_seen = Mutex::new(file.as_deref().map(|file| FileStamp::of(file, config.calendars())));
        let bells = Wakers::default();
        let hand = InFlight::new(node.clone(), bells.clone());
        let pulse = Liveness::new(config.supervisor.ping_interval);
        let current = InForce::new(config, &registry);
        let definitions = Arc::new(Definitions { current: RwLock::new(Arc::new(current)), bells: bells.clone() });
        let client = Client::inside(store.clone(), definitions.clone());
        app_data.insert(client.clone());
        let processes = Processes::new(Shepherds::new(&state_dir.join("modules"), node.clone(), program.clone()));
        let shepherds = Shepherds::new(&state_dir.join("attempts"), node.clone(), program);
        app_data.insert(shepherds.clone());
        let shared = Self {
            node,
            name,
            host,
            store,
            connect,
            clock,
            registry,
            app_data,
            client,
            hand,
            bells,
            board: ModuleStatuses::default(),
            lease: Lease::default(),
            spool_dir,
            shepherds,
            config_seen,
            config_file: file,
            processes,
            pulse,
            started: Instant::now(),
            supervisor: OnceLock::new(),
            hears_all: AtomicBool::new(false),
            has_adopted: AtomicBool::new(false),
            // One that has started itself anew has begun already.
            has_begun: AtomicBool::new(std::env::var_os(RESTARTED).is_some()),
            definitions,
        };
        shared.configure_hand();
        shared
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.definitions.current().config.clone()
    }

    /// The definition of that name: the configuration's, or the one that a handler brings along.
    pub fn definition(&self, name: &str) -> Option<Arc<TaskDefinition>> {
        self.definitions.current().definitions.get(name).cloned()
    }

    /// What may run beside what.
    pub fn bounds(&self) -> Arc<ConcurrencyLimits> {
        self.definitions.current().bounds.clone()
    }

    /// Puts another configuration in force.
    pub fn set_config(&self, config: Config) {
        let current = Arc::new(InForce::new(config, &self.registry));
        *self.definitions.current.write() = current;
        self.configure_hand();
        for module in ["cron", "workers", "dispatcher", "recorder", "node", "config_sync"] {
            self.bells.ring(module);
        }
    }

    /// Notes where the supervisor is reached.
    pub(in crate::daemon) fn set_supervisor(&self, supervisor: SupervisorAddr) {
        let _ = self.supervisor.set(supervisor);
    }

    /// Lets the supervisor act on the configuration in force: modules may have come and gone.
    pub(in crate::daemon) fn reconfigure(&self) {
        if self.supervisor.get().is_none_or(|supervisor| supervisor.try_send(Reconfigure).is_err()) {
            tracing::error!("the supervisor does not take the news of another configuration; a reload tells it again");
        }
    }

    /// Replaces a daemon module by a fresh one, in good order; returns when the present one has been told to end.
    ///
    /// # Errors
    /// If there is no such module, or it does not run; in words for people.
    pub async fn restart_module(&self, name: &str) -> Result<(), String> {
        let supervisor = self.supervisor.get().ok_or("the daemon is not up yet: try again in a moment")?;
        let asked = supervisor.send(RestartModule { name: name.to_owned() }).await;
        asked.map_err(|error| format!("the supervisor does not answer: {error}"))?
    }

    fn configure_hand(&self) {
        let config = self.config();
        let mut workers: BTreeMap<QueueName, usize> =
            config.queues.iter().map(|(queue, settings)| (queue.clone(), settings.workers)).collect();
        for definition in self.registry.definitions() {
            workers.entry(definition.queue.clone()).or_insert(config.daemon.workers);
        }
        self.hand.configure(&workers);
    }

    /// Notes whether every enqueue of another process is heard of.
    pub(in crate::daemon) fn set_hears_all(&self, hears_all: bool) {
        self.hears_all.store(hears_all, Ordering::Relaxed);
    }

    /// Whether what comes at the start of a daemon has come.
    pub(in crate::daemon) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Notes that it has.
    pub(in crate::daemon) fn note_begin(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    /// Notes that what earlier daemons have left was looked through.
    pub(in crate::daemon) fn note_adoption(&self) {
        self.has_adopted.store(true, Ordering::Release);
    }

    /// Whether what earlier daemons have left was looked through: before that, their tasks are not given back.
    pub(in crate::daemon) fn has_adopted(&self) -> bool {
        self.has_adopted.load(Ordering::Acquire)
    }

    /// How much less often an idle node asks; much less where it hears of everything anyhow.
    pub(in crate::daemon) fn idle_factor(&self, factor: u32) -> u32 {
        if self.hears_all.load(Ordering::Relaxed) { factor * 5 } else { factor }
    }

    /// What this node does.
    pub fn state(&self) -> NodeState {
        match (self.hand.is_closed(), self.hand.is_quiet()) {
            (true, _) => NodeState::Draining,
            (false, true) => NodeState::Quiet,
            (false, false) => NodeState::Running,
        }
    }
}

impl InForce {
    fn new(config: Config, registry: &Registry) -> Self {
        let mut definitions: HashMap<String, Arc<TaskDefinition>> =
            registry.definitions().map(|definition| (definition.name.clone(), Arc::new(definition.clone()))).collect();
        definitions.extend(config.tasks.iter().map(|(name, definition)| (name.clone(), definition.clone())));
        let limits = config.queues.iter().filter_map(|(queue, settings)| Some((queue, settings.limit?)));
        let bounds = Arc::new(ConcurrencyLimits::new(limits, definitions.values().map(|definition| &**definition)));
        Self { config: Arc::new(config), definitions, bounds }
    }
}
