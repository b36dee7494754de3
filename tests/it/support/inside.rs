//! A daemon inside the test's process, so that the test can inspect it.

use std::{sync::Arc, thread::JoinHandle};

use sexton::{
    clock::Clock,
    config::Config,
    daemon::{Blueprint, Mode, ORDERS, Order, Shared, standard},
    domain::task::definition::{NOOP, TaskDefinition},
    handler::{AppData, Registry},
    telemetry::LogControl,
};
use tokio::sync::mpsc::{Receiver, Sender};

use super::Database;

/// A daemon on another thread.
pub(crate) struct Inside {
    pub(crate) shared: Arc<Shared>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<anyhow::Result<i32>>>,
}

/// The blueprint of a daemon on this database, with one task `nothing` that does nothing.
pub(crate) fn blueprint(database: &Database) -> Blueprint {
    let mut config = Config::default_for(&database.url);
    config.daemon.state_dir = database.folder.path().join("state");
    config.daemon.name = Some("inside".to_owned());
    config.tasks.insert("nothing".to_owned(), TaskDefinition::new("nothing", NOOP).into());
    Blueprint {
        config,
        file: None,
        door: None,
        registry: Registry::new(),
        app_data: AppData::default(),
        modules: standard(),
        loader: Box::new(|| unreachable!("nothing is reloaded")),
        clock: Clock::system(),
        program: env!("CARGO_BIN_EXE_sexton").into(),
        mode: Mode::Serve,
        log: LogControl::default(),
        stays_quiet: Arc::default(),
        on_start: None,
    }
}

impl Inside {
    /// Starts it, and waits until it is ready.
    pub(crate) fn start(mut blueprint: Blueprint) -> Self {
        let (orders, receiver): (Sender<Order>, Receiver<Order>) = tokio::sync::mpsc::channel(ORDERS);
        let (up, is_up) = std::sync::mpsc::sync_channel(1);
        blueprint.on_start = Some(Box::new(move |shared| up.send(shared).unwrap()));
        let thread = std::thread::spawn(move || blueprint.run(receiver));
        Self { shared: is_up.recv().unwrap(), orders, thread: Some(thread) }
    }

    pub(crate) fn order(&self, order: Order) {
        self.orders.try_send(order).unwrap();
    }

    /// Stops it cleanly, and returns its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.order(Order::Drain);
        self.wait()
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}
