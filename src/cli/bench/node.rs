//! The measured daemon. It runs inside the measuring process, so that both use one clock.

use std::{collections::HashMap, sync::Arc, thread::JoinHandle, time::Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc::{Sender, channel};

use super::args::{NOOP_TASK, QUEUE, STAMP_TASK};
use crate::{
    clock::Clock,
    config::{Config, QueueConfig},
    daemon::{Blueprint, Mode, ORDERS, Order, Shared, standard},
    domain::task::definition::{NOOP, TaskDefinition},
    handler::{AppData, Registry, TaskContext, TaskError, TaskHandler},
    telemetry::LogControl,
};

/// The start of each numbered task.
#[derive(Clone, Default)]
pub(super) struct Stamps(Arc<Mutex<HashMap<i64, Instant>>>);

impl Stamps {
    pub(super) fn take(&self, number: i64) -> Option<Instant> {
        self.0.lock().remove(&number)
    }
}

/// Records the start of each task.
struct Stamp(Stamps);

impl TaskHandler for Stamp {
    const KIND: &'static str = STAMP_TASK;
    type Payload = i64;

    async fn run(&self, number: i64, _: &TaskContext) -> Result<(), TaskError> {
        self.0.0.lock().insert(number, Instant::now());
        Ok(())
    }

    fn definition() -> TaskDefinition {
        TaskDefinition { queue: QUEUE.to_owned(), ..TaskDefinition::new(STAMP_TASK, STAMP_TASK) }
    }
}

/// A running daemon.
pub(super) struct BenchNode {
    pub(super) shared: Arc<Shared>,
    orders: Sender<Order>,
    thread: JoinHandle<anyhow::Result<i32>>,
}

impl BenchNode {
    /// Starts a daemon, and waits until it is ready.
    pub(super) async fn start(url: &str, workers: Option<usize>, stamps: &Stamps) -> anyhow::Result<Self> {
        let mut config = Config::default_for(url);
        let folder = std::env::temp_dir().join(format!("sexton-bench-{}", std::process::id()));
        config.daemon.state_dir = folder;
        config.daemon.name = Some("bench".to_owned());
        let workers = workers.unwrap_or(config.daemon.workers);
        config.queues = [(QUEUE.to_owned(), QueueConfig::of(workers))].into();
        let nothing = TaskDefinition { queue: QUEUE.to_owned(), ..TaskDefinition::new(NOOP_TASK, NOOP) };
        config.tasks.insert(NOOP_TASK.to_owned(), nothing.into());
        let mut registry = Registry::new();
        registry.register(Stamp(stamps.clone()));
        let (orders, receiver) = channel(ORDERS);
        let (up, is_up) = tokio::sync::oneshot::channel();
        let blueprint = Blueprint {
            file: None,
            door: None,
            program: "/proc/self/exe".into(),
            config,
            registry,
            app_data: AppData::default(),
            modules: standard(),
            loader: Box::new(|| Err(crate::config::Mistakes::default())),
            clock: Clock::system(),
            mode: Mode::Serve,
            log: LogControl::default(),
            stays_quiet: Arc::default(),
            on_start: Some(Box::new(move |shared| {
                let _ = up.send(shared);
            })),
        };
        let thread = std::thread::spawn(move || blueprint.run(receiver));
        Ok(Self { shared: is_up.await?, orders, thread })
    }

    /// Stops the daemon.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.orders.try_send(Order::Drain)?;
        self.thread.join().map_err(|_| anyhow::anyhow!("the measured daemon panicked"))??;
        Ok(())
    }
}
