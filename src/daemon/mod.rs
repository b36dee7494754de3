//! The daemon: a supervisor, its modules, and how they begin and end.

mod control;
mod inflight;
mod lifecycle;
mod module;
mod modules;
mod state;
mod supervision;
mod workers;

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{Actor as _, Addr, System};
use futures::FutureExt as _;
use tokio::sync::mpsc::Receiver;

pub use self::{
    control::{Module, PlanInForce, RunningTask, Status},
    inflight::{InFlightCounts, Running},
    lifecycle::{
        recycle::RESTART,
        reload::Loader,
        run_lock::RunLock,
        signals::{ORDERS, Order, is_told_to_end, listen},
        status::{ConfigStatus, Phase, QUIET},
    },
    module::{DaemonModule, ModuleContext, ModuleSpec, Next, Stage},
    modules::standard,
    state::{
        module_status::{ModuleState, ModuleStatus},
        shared::{DaemonParts, Shared},
    },
    supervision::{panics::install_hook, supervisor::GAVE_UP},
};
use self::{
    lifecycle::{
        reload::{Reloader, set_log_levels},
        requests::{Call, Requests},
        shutdown::ShutdownMode,
        status::DaemonStatus,
    },
    modules::spool_finished,
    supervision::supervisor::Supervisor,
};
use crate::{
    clock::Clock,
    config::Config,
    domain::text::redact::redacted,
    handler::{AppData, Registry},
    service::notify,
    telemetry::LogControl,
};

/// How long the daemon is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is told to stop.
    Serve,
    /// Until nothing is left that is due.
    Once,
    /// For so long.
    For(Duration),
}

/// Everything that a daemon is made of.
pub struct Blueprint {
    /// What is configured.
    pub config: Config,
    /// The file that it comes from.
    pub file: Option<PathBuf>,
    /// Where the daemon is reached; none for one inside of something else.
    pub door: Option<Arc<RunLock>>,
    /// Who executes what.
    pub registry: Registry,
    /// What the application shares.
    pub app_data: AppData,
    /// The modules, built-in ones included.
    pub modules: Vec<ModuleSpec>,
    /// Reads the configuration anew, for a reload.
    pub loader: Loader,
    /// The time.
    pub clock: Clock,
    /// What shepherds are made of: this program, or another that begins with [`crate::shepherd::enter`].
    pub program: PathBuf,
    /// How long to work.
    pub mode: Mode,
    /// Is told whether the daemon claims nothing at its end, for the one that it starts itself anew as.
    pub stays_quiet: Arc<AtomicBool>,
    /// The log, so that its levels can be changed.
    pub log: LogControl,
    /// Is handed the daemon's inside once it is up; for tests, and for applications around it.
    pub on_start: Option<Box<dyn FnOnce(Arc<Shared>) + Send>>,
}

impl Blueprint {
    /// Runs the daemon to its end; gives the exit code, which is [`RESTART`] if it is to be started anew.
    ///
    /// # Errors
    /// If it cannot begin: the address of the database is none, or its tables are not such as this program knows.
    pub fn run(self, orders: Receiver<Order>) -> anyhow::Result<i32> {
        install_hook();
        let system = System::new();
        let (failed, failure) = std::sync::mpsc::sync_channel(1);
        let inside = Arc::new(OnceLock::new());
        let known = inside.clone();
        system.runtime().spawn(async move {
            let code = match AssertUnwindSafe(self.live(orders, &known)).catch_unwind().await {
                Ok(Ok(code)) => code,
                Ok(Err(error)) => {
                    let _ = failed.send(error);
                    1
                }
                // The panic has been told already.
                Err(_) => GAVE_UP,
            };
            System::current().stop_with_code(code);
        });
        let code = system.run_with_code()?;
        // However it came to its end: what has ended and is not recorded is kept for the next daemon.
        if let Some(shared) = inside.get() {
            spool_finished(shared);
        }
        match failure.try_recv() {
            Ok(error) => Err(error),
            Err(_) => Ok(code),
        }
    }

    /// From the first look at the database to the last word.
    async fn live(mut self, orders: Receiver<Order>, known: &OnceLock<Arc<Shared>>) -> anyhow::Result<i32> {
        let (mut calls, requests) = Requests::new(orders);
        let desk = DaemonStatus::new(self.file.clone(), Arc::new(self.config.clone()));
        if let Some(door) = self.door.as_ref().filter(|door| door.is_there())
            && let Err(error) = control::listen(door.clone(), desk.clone(), requests.clone(), self.log.clone())
        {
            tracing::error!("there is no control socket: {error}");
        }
        actix_rt::spawn(lifecycle::service_notifier::tell(desk.clone()));
        let connecting = lifecycle::startup::database(&mut self.config, &self.loader, &self.clock, &desk, &mut calls);
        let connected = match self.mode {
            Mode::For(length) => tokio::time::timeout(length, connecting).await.unwrap_or(Ok(None))?,
            Mode::Serve | Mode::Once => connecting.await?,
        };
        let Some((store, connect)) = connected else { return Ok(0) };
        let own = DaemonParts {
            registry: self.registry,
            app_data: self.app_data,
            clock: self.clock,
            program: self.program,
            file: self.file,
        };
        let shared = Arc::new(Shared::new(self.config, store, connect, own));
        let _ = known.set(shared.clone());
        let stages: Vec<(String, Stage)> =
            self.modules.iter().map(|module| (module.name.clone(), module.stage)).collect();
        set_log_levels(&self.log, &shared.config());
        if let Some(watchdog) = notify::watchdog() {
            shared.pulse.want(watchdog / 4);
        }
        let supervisor = Supervisor::new(shared.clone(), self.modules).start();
        desk.open(shared.clone());
        tell_up(&shared, &desk);
        if let Some(on_start) = self.on_start {
            on_start(shared.clone());
        }
        let first = shared.config();
        let reloader = Reloader { shared: &shared, loader: &self.loader, desk: &desk, log: &self.log, first: &first };
        let files_changed = shared.bells.of(lifecycle::reload::BELL);
        let manner = loop {
            tokio::select! {
                () = lost(&supervisor) => anyhow::bail!("the supervisor is gone, and nobody looks after the modules"),
                () = lifecycle::once::over(&shared, self.mode) => break ShutdownMode::Drain,
                why = lifecycle::recycle::due(&shared), if self.mode == Mode::Serve => {
                    tracing::info!("the daemon starts itself anew: {why}");
                    break ShutdownMode::Anew;
                }
                () = files_changed.notified() => reloader.files_changed(),
                call = calls.next() => match call {
                    Some(Call::Order(Order::Drain)) | None => break ShutdownMode::Drain,
                    Some(Call::Order(Order::Hurry)) => break ShutdownMode::Hurry,
                    Some(Call::Order(Order::AtOnce)) => break ShutdownMode::AtOnce,
                    Some(Call::Order(Order::Reload)) => drop(reloader.reload()),
                    Some(Call::Order(Order::Quiet(quiet))) => desk.set_quiet(quiet),
                    Some(Call::Order(Order::Tell)) => lifecycle::reload::tell(&shared),
                    Some(Call::Reload(reply)) => drop(reply.send(reloader.reload())),
                },
            }
        };
        desk.enter(if manner == ShutdownMode::Anew { Phase::Renewing } else { Phase::Stopping }, None);
        let (ending, manner) = lifecycle::shutdown::drain(&shared, &supervisor, &stages, &mut calls, manner).await;
        self.stays_quiet.store(desk.is_quiet(), Ordering::Relaxed);
        if let Some(door) = &self.door {
            door.leave_word(&ending);
        }
        Ok(if manner == ShutdownMode::Anew { RESTART } else { 0 })
    }
}

/// Tells everybody that the daemon is at work.
fn tell_up(shared: &Shared, desk: &DaemonStatus) {
    let config = shared.config();
    tracing::info!(
        "node {} is up on {}: {} tasks, {} queues",
        shared.node,
        redacted(&shared.connect.url),
        config.tasks.len(),
        config.queues.len()
    );
    notify::ready(&desk.status_line());
}

/// Ends if the supervisor does, which nobody is above inside this process.
async fn lost(supervisor: &Addr<Supervisor>) {
    while supervisor.connected() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
