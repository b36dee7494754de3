//! What a daemon is made from, and its life: connect to the database, run the modules, serve requests, shut down.

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Actor as _, System};
use futures::FutureExt as _;
use serde_json::json;
use sexton_client::principal::Principal;
use sexton_entities::states::{AuditAction, AuditTarget, Via};
use tokio::sync::mpsc::{Receiver, Sender};

use super::{
    components::{Components, Equipment},
    control,
    lifecycle::{
        newer_schema::{self, NEWER_SCHEMA},
        once::{self, Mode},
        other_database,
        recycle::{self, RESTART},
        reload::{self, Loader, Reloader, quiet_deed, set_log_levels},
        requests::{Request, Requests, ShutdownMode},
        run_lock::RunLock,
        same_name, service_notifier, shutdown, startup,
        status::{DaemonStatus, Phase},
    },
    module::ModuleSpec,
    modules::{built_in, process_module},
    supervision::{
        supervisor::{GAVE_UP, Supervisor},
        supervisor_handle::SupervisorHandle,
        supervisor_parts::SupervisorParts,
    },
};
use crate::{
    clock::Clock,
    config::Config,
    domain::text::{plural::counted, redact::redacted},
    handler::{AppData, Registry},
    service::notify,
    store::{ConnectOptions, Deed, Store},
    telemetry::{LogControl, panic_messages::install_hook},
};

/// Makes the modules of a daemon from its parts.
pub type ModuleFactory = Box<dyn FnOnce(&Components) -> Vec<ModuleSpec> + Send>;

/// Everything that a daemon is made from.
pub struct Blueprint {
    /// The configuration.
    pub config: Config,
    /// The main configuration file; none for the defaults alone.
    pub file: Option<PathBuf>,
    /// The run directory; none for a daemon inside another program.
    pub run_lock: Option<Arc<RunLock>>,
    /// The handlers.
    pub registry: Registry,
    /// What the application shares with its handlers and modules.
    pub app_data: AppData,
    /// Makes the modules, built-in ones included.
    pub modules: ModuleFactory,
    /// Reads the configuration, for a reload.
    pub loader: Loader,
    /// The time.
    pub clock: Clock,
    /// The program of the shepherds: this one, or another that begins with [`crate::shepherd::enter`].
    pub program: PathBuf,
    /// How long to work.
    pub mode: Mode,
    /// Set at the end if the daemon claims nothing: the daemon as which it restarts itself is to stay quiet.
    pub stays_quiet: Arc<AtomicBool>,
    /// Changes log levels at run time.
    pub log: LogControl,
    /// Called with the daemon's parts once the modules run; for tests, and for applications around the daemon.
    pub on_start: Option<Box<dyn FnOnce(Arc<Components>) + Send>>,
}

/// All modules of a daemon: the built-in ones, and an application's `own`. An own module replaces the built-in one of the
/// same name.
pub fn with_built_in(own: Vec<ModuleSpec>) -> ModuleFactory {
    Box::new(move |daemon| {
        let mut modules = built_in(daemon);
        modules.retain(|module| own.iter().all(|own| own.name != module.name));
        modules.extend(own);
        modules
    })
}

impl Blueprint {
    /// Runs the daemon to its end. Returns the exit code, which is [`RESTART`] if the daemon is to be restarted.
    ///
    /// # Errors
    /// If the daemon cannot start: the database URL is invalid, or the tables belong to a newer version.
    pub fn run(self, signals: Receiver<Request>) -> anyhow::Result<i32> {
        install_hook();
        let system = System::new();
        let (failed, failure) = std::sync::mpsc::sync_channel(1);
        let components = Arc::new(OnceLock::new());
        let known = components.clone();
        system.runtime().spawn(async move {
            let code = match AssertUnwindSafe(self.live(signals, &known)).catch_unwind().await {
                Ok(Ok(code)) => code,
                Ok(Err(error)) => {
                    let _ = failed.send(error);
                    1
                }
                // The panic hook has printed the panic.
                Err(_) => GAVE_UP,
            };
            System::current().stop_with_code(code);
        });
        let code = system.run_with_code()?;
        // However the daemon ended: finished attempts that are not recorded are kept for the next one.
        if let Some(components) = components.get() {
            components.spool.keep_finished(&components.in_flight);
        }
        match failure.try_recv() {
            Ok(error) => Err(error),
            Err(_) => Ok(code),
        }
    }

    /// Lives from the first try to connect to the shutdown.
    async fn live(mut self, signals: Receiver<Request>, known: &OnceLock<Arc<Components>>) -> anyhow::Result<i32> {
        let (mut requests, sender) = Requests::new(signals);
        let status = DaemonStatus::new(self.file.clone(), Arc::new(self.config.clone()));
        self.open_control_socket(&status, &sender);
        actix_rt::spawn(service_notifier::run(status.clone()));
        let Some((store, connect)) = self.connect(&status, &mut requests).await? else { return Ok(0) };
        let daemon = Arc::new(self.assemble(store, connect, sender));
        if self.mode == Mode::Serve && !self.is_only_one(&daemon, &status, &mut requests).await? {
            return Ok(0);
        }
        // The first attempt has the settings of its schedule. If the database has gone away again, module `config_sync`
        // reads them later.
        if let Ok(schedules) = daemon.store.database_schedules().await {
            daemon.in_force.set_database_schedules(schedules);
        }
        if status.has_waited() {
            daemon.lease.note_away();
        }
        let _ = known.set(daemon.clone());
        set_log_levels(&self.log, &daemon.config());
        let stages = start_modules(&daemon, std::mem::replace(&mut self.modules, Box::new(built_in)));
        status.set_running(daemon.clone());
        if let Some(run_lock) = &self.run_lock {
            run_lock.note_running();
        }
        report_start(&daemon, &status);
        if self.mode == Mode::Serve {
            daemon.audit.note(&Principal::of_this_process(Via::Daemon), start_deed(&daemon));
        }
        if let Some(on_start) = self.on_start.take() {
            on_start(daemon.clone());
        }
        let (mode, code) = self.serve(&daemon, &status, &mut requests).await?;
        let stopped_by = status.stopped_by();
        let Some(supervisor) = daemon.supervisor() else { anyhow::bail!("the supervisor was never started") };
        status.enter(if mode == ShutdownMode::Restart { Phase::Restarting } else { Phase::Stopping }, None);
        let (report, mode) = shutdown::drain(&daemon, supervisor, &stages, &mut requests, mode).await;
        if self.mode == Mode::Serve {
            shutdown::record(&daemon, &stopped_by, &report, mode).await;
        }
        self.stays_quiet.store(status.is_quiet(), Ordering::Relaxed);
        if let Some(run_lock) = &self.run_lock {
            run_lock.write_exit_report(&report);
        }
        Ok(if mode == ShutdownMode::Restart { RESTART } else { code })
    }

    fn open_control_socket(&self, status: &DaemonStatus, requests: &Sender<Request>) {
        let Some(run_lock) = self.run_lock.as_ref().filter(|run_lock| run_lock.is_held()) else { return };
        let listening = control::listen(run_lock.clone(), status.clone(), requests.clone(), self.log.clone());
        if let Err(error) = listening {
            tracing::error!("there is no control socket: {error}");
        }
    }

    /// Connects to the database. None if the daemon was asked to stop before that, or its time was over.
    async fn connect(
        &mut self,
        status: &DaemonStatus,
        requests: &mut Requests,
    ) -> anyhow::Result<Option<(Store, ConnectOptions)>> {
        let is_successor = self.run_lock.as_ref().is_some_and(|run_lock| run_lock.is_successor());
        let connecting = startup::database(&mut self.config, &self.loader, &self.clock, status, requests, is_successor);
        match self.mode {
            Mode::For(length) => tokio::time::timeout(length, connecting).await.unwrap_or(Ok(None)),
            Mode::Serve | Mode::Once => connecting.await,
        }
    }

    /// Waits until no other node of the same name runs. Returns false if the daemon was asked to stop meanwhile.
    async fn is_only_one(
        &self,
        daemon: &Components,
        status: &DaemonStatus,
        requests: &mut Requests,
    ) -> anyhow::Result<bool> {
        let lease = self.config.daemon.lease;
        let mut looking = std::pin::pin!(same_name::refuse(&daemon.store, &daemon.identity, lease));
        loop {
            let request = tokio::select! {
                alone = &mut looking => return alone.map(|()| true),
                request = requests.next() => request,
            };
            match request {
                None | Some(Request::Stop(_)) => return Ok(false),
                Some(Request::Reload { reply, .. }) => startup::refuse_reload(reply),
                Some(Request::Quiet { quiet, .. }) => status.set_quiet(quiet),
                Some(Request::LogRunning | Request::FilesChanged | Request::Deploy { .. }) => {}
            }
        }
    }

    fn assemble(&self, store: Store, connect: ConnectOptions, requests: Sender<Request>) -> Components {
        let equipment = Equipment {
            registry: self.registry.clone(),
            app_data: self.app_data.clone(),
            clock: self.clock.clone(),
            program: self.program.clone(),
            file: self.file.clone(),
            requests,
        };
        let daemon = Components::new(self.config.clone(), store, connect, equipment);
        if let Some(watchdog) = notify::watchdog() {
            daemon.liveness.want(watchdog / 4);
        }
        daemon
    }

    /// Another version has migrated the database. The daemon restarts itself where its program has been replaced as well,
    /// otherwise it drains: its program would not start again.
    fn yield_to_newer(&self, status: &DaemonStatus, why: String) -> (ShutdownMode, i32) {
        let restarts = self.mode == Mode::Serve && newer_schema::is_program_replaced();
        let what = if restarts { "restarts itself as its new version" } else { "claims nothing more and stops" };
        tracing::error!("the daemon {what}: {why}");
        status.note_reason(why);
        (if restarts { ShutdownMode::Restart } else { ShutdownMode::Drain }, NEWER_SCHEMA)
    }

    /// Serves requests until the daemon is to stop. Returns how, and the exit code unless it restarts itself.
    async fn serve(
        &self,
        daemon: &Components,
        status: &DaemonStatus,
        requests: &mut Requests,
    ) -> anyhow::Result<(ShutdownMode, i32)> {
        let first = daemon.config();
        let reloader = Reloader { daemon, loader: &self.loader, status, log: &self.log, first: &first };
        let mut newer = std::pin::pin!(newer_schema::noticed(daemon));
        let mut other = std::pin::pin!(other_database::noticed(daemon));
        loop {
            let request = tokio::select! {
                () = supervisor_lost(daemon) => anyhow::bail!("the supervisor has ended: no module is supervised"),
                () = once::over(daemon, self.mode) => {
                    return Ok((ShutdownMode::Drain, once::exit_code(daemon, self.mode)));
                }
                why = &mut newer => return Ok(self.yield_to_newer(status, why)),
                why = &mut other, if self.mode == Mode::Serve => {
                    tracing::error!("the daemon restarts itself: {why}");
                    status.note_reason(why);
                    return Ok((ShutdownMode::Restart, 0));
                }
                why = recycle::due(daemon), if self.mode == Mode::Serve => {
                    tracing::info!("the daemon restarts itself: {why}");
                    status.note_reason(why);
                    return Ok((ShutdownMode::Restart, 0));
                }
                request = requests.next() => request,
            };
            match request {
                None => return Ok((ShutdownMode::Drain, 0)),
                Some(Request::Stop(mode)) => return Ok((mode, 0)),
                Some(Request::Reload { reply, by }) => reload::answer(reply, reloader.reload(&by)),
                Some(Request::FilesChanged) => reloader.files_changed(),
                Some(Request::Deploy { version, reply }) => reload::answer(Some(reply), reloader.deploy(version)),
                Some(Request::Quiet { quiet, by }) => {
                    daemon.audit.note(&by, quiet_deed(&daemon.identity.name, status.is_quiet(), quiet));
                    status.set_quiet(quiet);
                }
                Some(Request::LogRunning) => reload::log_running(&daemon.in_flight),
            }
        }
    }
}

/// Starts the supervisor with all modules.
fn start_modules(daemon: &Components, modules: ModuleFactory) -> shutdown::Stages {
    let modules = modules(daemon);
    let stages = modules.iter().map(|module| (module.name.clone(), module.stage)).collect();
    let parts = SupervisorParts {
        surroundings: daemon.surroundings(),
        statuses: daemon.modules.clone(),
        wakers: daemon.wakers.clone(),
        liveness: daemon.liveness.clone(),
        process_module: process_module(daemon),
    };
    let supervisor = Supervisor::new(parts, modules).start();
    daemon.set_supervisor(SupervisorHandle::new(&supervisor));
    stages
}

/// What the audit says of a start.
fn start_deed(daemon: &Components) -> Deed {
    let after = json!({ "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") });
    Deed::new(AuditAction::Start, AuditTarget::Node, daemon.identity.name.as_str()).from_to(None, after)
}

/// Reports that the daemon works.
fn report_start(daemon: &Components, status: &DaemonStatus) {
    let config = daemon.config();
    tracing::info!(
        "node {} runs on {}: {}, {}",
        daemon.identity.id,
        redacted(&daemon.connect.url),
        counted(config.tasks.len(), "task"),
        counted(config.queues.len(), "queue")
    );
    notify::ready(&status.line());
}

/// Ends if the supervisor does: nothing inside this process is above it.
async fn supervisor_lost(daemon: &Components) {
    while daemon.supervisor().is_some_and(SupervisorHandle::is_connected) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
