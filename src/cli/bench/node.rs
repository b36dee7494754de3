//! The measured daemon. It runs inside the measuring process, so that both use one clock.

use std::{collections::HashMap, sync::Arc, thread::JoinHandle, time::Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc::{Sender, channel};

use super::args::{NOOP_TASK, QUEUE, STAMP_TASK};
use crate::{
    clock::Clock,
    config::{Config, QueueConfig},
    daemon::{Blueprint, Components, MAX_WAITING, Mode, Request, ShutdownMode, with_built_in},
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
        TaskDefinition { queue: QUEUE.into(), ..TaskDefinition::new(STAMP_TASK, STAMP_TASK) }
    }
}

/// A running daemon.
pub(super) struct BenchNode {
    pub(super) daemon: Arc<Components>,
    requests: Sender<Request>,
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
        config.queues = [(QUEUE.into(), QueueConfig::of(workers))].into();
        let nothing = TaskDefinition { queue: QUEUE.into(), ..TaskDefinition::new(NOOP_TASK, NOOP) };
        config.tasks.insert(NOOP_TASK.to_owned(), nothing.into());
        let mut registry = Registry::new();
        registry.register(Stamp(stamps.clone()));
        let (requests, receiver) = channel(MAX_WAITING);
        let (up, is_up) = tokio::sync::oneshot::channel();
        let blueprint = Blueprint {
            file: None,
            run_lock: None,
            program: "/proc/self/exe".into(),
            config,
            registry,
            app_data: AppData::default(),
            modules: with_built_in(Vec::new()),
            loader: Box::new(|_| Err(crate::config::Mistakes::default())),
            clock: Clock::system(),
            mode: Mode::Serve,
            log: LogControl::default(),
            stays_quiet: Arc::default(),
            on_start: Some(Box::new(move |daemon| {
                let _ = up.send(daemon);
            })),
        };
        let thread = std::thread::spawn(move || blueprint.run(receiver));
        Ok(Self { daemon: is_up.await?, requests, thread })
    }

    /// Stops the daemon.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.requests.try_send(Request::Stop(ShutdownMode::Drain))?;
        self.thread.join().map_err(|_| anyhow::anyhow!("the measured daemon panicked"))??;
        Ok(())
    }
}
