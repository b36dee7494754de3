//! The daemon: a supervisor, its modules, and how they begin and end.

mod batch;
mod bells;
mod board;
mod child;
mod execute;
mod hand;
mod incarnation;
mod lane;
mod lease;
mod messages;
mod module;
mod modules;
mod once;
mod panics;
mod pool;
mod processes;
mod pulse;
mod reload;
mod shared;
mod shutdown;
mod signals;
mod spool;
mod startup;
mod supervisor;
mod worker;

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix::{Actor as _, Addr, System};
use futures::FutureExt as _;
use tokio::sync::mpsc::Receiver;

pub use self::{
    board::{ModuleState, ModuleStatus},
    hand::{HandCounts, Running},
    module::{DaemonModule, ModuleContext, ModuleSpec, Next, Stage},
    modules::standard,
    panics::install_hook,
    reload::Loader,
    shared::{Own, Shared},
    signals::{ORDERS, Order, listen},
    supervisor::GAVE_UP,
};
use self::{modules::spool_finished, supervisor::Supervisor};
use crate::{
    clock::Clock,
    config::Config,
    handler::{AppData, Registry},
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
    /// Is handed the daemon's inside once it is up; for tests, and for applications around it.
    pub on_start: Option<Box<dyn FnOnce(Arc<Shared>) + Send>>,
}

impl Blueprint {
    /// Runs the daemon to its end; gives the exit code.
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
    async fn live(self, mut orders: Receiver<Order>, known: &OnceLock<Arc<Shared>>) -> anyhow::Result<i32> {
        let Some((store, connect)) = startup::database(&self.config, &mut orders).await? else { return Ok(0) };
        let queues = self.config.queues.len();
        let tasks = self.config.tasks.len();
        let own = Own { registry: self.registry, app_data: self.app_data, clock: self.clock, program: self.program };
        let shared = Arc::new(Shared::new(self.config, store, connect, own));
        let _ = known.set(shared.clone());
        let stages: Vec<(String, Stage)> =
            self.modules.iter().map(|module| (module.name.clone(), module.stage)).collect();
        let supervisor = Supervisor::new(shared.clone(), self.modules).start();
        tracing::info!(
            "node {} is up on {}: {tasks} tasks, {queues} queues",
            shared.node,
            crate::domain::address::redacted(&shared.connect.url)
        );
        if let Some(on_start) = self.on_start {
            on_start(shared.clone());
        }
        let at_once = loop {
            tokio::select! {
                () = lost(&supervisor) => anyhow::bail!("the supervisor is gone, and nobody looks after the modules"),
                () = once::over(&shared, self.mode) => break false,
                order = orders.recv() => match order {
                    Some(Order::Drain) | None => break false,
                    Some(Order::AtOnce) => break true,
                    Some(Order::Reload) => reload::reload(&shared, &self.loader),
                    Some(Order::Quiet(quiet)) => reload::be_quiet(&shared, quiet),
                    Some(Order::Tell) => reload::tell(&shared),
                },
            }
        };
        shutdown::drain(&shared, &supervisor, &stages, &mut orders, at_once).await;
        Ok(0)
    }
}

/// Ends if the supervisor does, which nobody is above inside this process.
async fn lost(supervisor: &Addr<Supervisor>) {
    while supervisor.connected() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
