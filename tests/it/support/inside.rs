//! A daemon inside the test's own process, so that the test can reach into it.

use std::{sync::Arc, thread::JoinHandle};

use sexton::{
    clock::Clock,
    config::Config,
    daemon::{Blueprint, Components, MAX_WAITING, Mode, ModuleSpec, Request, ShutdownMode, with_built_in},
    domain::task::definition::{NOOP, TaskDefinition},
    handler::{AppData, Registry},
    telemetry::LogControl,
};
use tokio::sync::mpsc::{Receiver, Sender};

use super::Database;

/// A daemon on a thread of its own.
pub(crate) struct Inside {
    pub(crate) daemon: Arc<Components>,
    requests: Sender<Request>,
    thread: Option<JoinHandle<anyhow::Result<i32>>>,
}

/// A daemon's blueprint on this database, with one task `nothing` that does nothing.
pub(crate) fn blueprint(database: &Database) -> Blueprint {
    let mut config = Config::default_for(&database.url);
    config.daemon.state_dir = database.folder.path().join("state");
    config.daemon.name = Some("inside".to_owned());
    config.tasks.insert("nothing".to_owned(), TaskDefinition::new("nothing", NOOP).into());
    Blueprint {
        config,
        file: None,
        run_lock: None,
        registry: Registry::new(),
        app_data: AppData::default(),
        modules: with_built_in(Vec::new()),
        loader: Box::new(|_| unreachable!("nothing is reloaded")),
        clock: Clock::system(),
        program: env!("CARGO_BIN_EXE_sexton").into(),
        mode: Mode::Serve,
        log: LogControl::default(),
        stays_quiet: Arc::default(),
        on_start: None,
    }
}

/// Adds a module of the application's own; it replaces a built-in one of the same name.
pub(crate) fn add_module(blueprint: &mut Blueprint, module: ModuleSpec) {
    change_modules(blueprint, move |mut modules| {
        modules.retain(|known| known.name != module.name);
        modules.push(module);
        modules
    });
}

/// Changes the modules of a daemon before it starts.
pub(crate) fn change_modules(
    blueprint: &mut Blueprint,
    change: impl FnOnce(Vec<ModuleSpec>) -> Vec<ModuleSpec> + Send + 'static,
) {
    let modules = std::mem::replace(&mut blueprint.modules, with_built_in(Vec::new()));
    blueprint.modules = Box::new(move |daemon| change(modules(daemon)));
}

impl Inside {
    /// Starts it, and waits until it is up.
    pub(crate) fn start(mut blueprint: Blueprint) -> Self {
        let (requests, receiver): (Sender<Request>, Receiver<Request>) = tokio::sync::mpsc::channel(MAX_WAITING);
        let (up, is_up) = std::sync::mpsc::sync_channel(1);
        blueprint.on_start = Some(Box::new(move |daemon| up.send(daemon).unwrap()));
        let thread = std::thread::spawn(move || blueprint.run(receiver));
        Self { daemon: is_up.recv().unwrap(), requests, thread: Some(thread) }
    }

    pub(crate) fn request(&self, request: Request) {
        self.requests.try_send(request).unwrap();
    }

    /// Stops it cleanly. Returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.request(Request::Stop(ShutdownMode::Drain));
        self.wait()
    }

    /// Waits for its end. Returns its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}
