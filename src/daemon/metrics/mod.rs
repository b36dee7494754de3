//! Metrics: what the daemon counts, and what it finds out when they are read.

mod exposition;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{Response, body::Bytes, header};
use parking_lot::Mutex;

pub(in crate::daemon) use self::exposition::TextFormat;
use self::exposition::{Labels, Snapshot};
use super::{
    inflight::InFlight,
    state::{
        attempt_counts::{MAX_NAMES, OTHER},
        attempt_spool::Spool,
        module_status::{ModuleState, ModuleStatuses},
        open_problems::OpenProblems,
    },
};
use crate::{
    domain::task::rate::BucketName,
    store::{Operation, QueueBacklog, RateRow, Store, StoreError},
};

/// The database answers within this time, or its metrics are left out.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// The database is not asked more often than this, however often the metrics are read.
const DATABASE_INTERVAL: Duration = Duration::from_secs(5);

/// What the metrics are read from. Clones share it.
#[derive(Clone)]
pub(in crate::daemon) struct MetricsSource {
    pub(in crate::daemon) store: Store,
    pub(in crate::daemon) in_flight: InFlight,
    pub(in crate::daemon) modules: ModuleStatuses,
    pub(in crate::daemon) problems: OpenProblems,
    pub(in crate::daemon) spool: Spool,
    pub(in crate::daemon) started: Instant,
    pub(in crate::daemon) asked: LastAnswer,
}

/// The last answer of the database. Clones share it.
#[derive(Clone, Default)]
pub(in crate::daemon) struct LastAnswer {
    last: Arc<Mutex<Option<TimedFigures>>>,
}

/// When the database was asked, and what it said; none if it did not answer.
type TimedFigures = (Instant, Option<DatabaseFigures>);

/// What only the database knows. It is the same on all nodes.
#[derive(Clone)]
struct DatabaseFigures {
    /// Each queue, and for how many seconds its oldest task has waited.
    queues: Vec<(QueueBacklog, f64)>,
    nodes: usize,
    rates: Vec<RateRow>,
}

impl MetricsSource {
    /// The metrics now.
    pub(in crate::daemon) async fn text(&self, format: TextFormat) -> String {
        let mut snapshot = Snapshot::default();
        self.daemon(&mut snapshot);
        self.attempts(&mut snapshot);
        let figures = self.database_figures().await;
        database(&mut snapshot, figures.as_ref());
        snapshot.text(format)
    }

    /// The answer to a request for the metrics.
    pub(in crate::daemon) async fn response(&self, accept: Option<&header::HeaderValue>) -> Response<Full<Bytes>> {
        let format = TextFormat::accepted(accept.and_then(|accept| accept.to_str().ok()));
        let mut response = Response::new(Full::new(Bytes::from(self.text(format).await)));
        let kind = header::HeaderValue::from_static(format.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn daemon(&self, snapshot: &mut Snapshot) {
        let build =
            vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("database", self.store.database().to_owned())];
        snapshot.gauges("sexton_build_info", "The version of the daemon, and its kind of database.", [(build, 1.0)]);
        snapshot.gauge("sexton_uptime_seconds", "Time since the daemon's start.", self.started.elapsed().as_secs_f64());
        let left = self.in_flight.lease().left().map(|left| (Labels::new(), left.as_secs_f64()));
        snapshot.gauges("sexton_lease_left_seconds", "Time until the node's lease ends; 0 if it has ended.", left);
        snapshot.counter("sexton_statements", "Statements sent to the database.", self.store.statements());
        let time = self.store.statement_time().as_secs_f64();
        snapshot.sums(
            "sexton_statement_seconds",
            "How long the database took to answer statements.",
            [(Labels::new(), time)],
        );
        let of = |operation: Operation| vec![("operation", operation.as_str().to_owned())];
        snapshot.counters(
            "sexton_operations",
            "What the daemon did in the database.",
            self.store.operations().map(|(operation, count, _)| (of(operation), count)),
        );
        snapshot.sums(
            "sexton_operation_seconds",
            "How long that took, together with waiting for a session and with repetitions.",
            self.store.operations().map(|(operation, _, time)| (of(operation), time.as_secs_f64())),
        );
        let conflicts = self.store.retried();
        snapshot.counter("sexton_conflicts", "Transactions repeated after a deadlock or a conflict.", conflicts);
        let isolated = self.store.isolated().count() as f64;
        snapshot.gauge(
            "sexton_isolated_faults",
            "Bad rows, attempts, schedules and files that are isolated.",
            isolated,
        );
        snapshot.gauge("sexton_open_problems", "Problems that last.", self.problems.count() as f64);
        let spooled = self.spool.waiting().len() as f64;
        snapshot.gauge("sexton_spool_files", "Files with attempts that the database does not have yet.", spooled);
        let modules = self.modules.all();
        let of = |name: &str| vec![("module", name.to_owned())];
        snapshot.counters(
            "sexton_module_failures",
            "How often a daemon module failed and was started again.",
            modules.iter().map(|module| (of(&module.name), module.failures)),
        );
        let is_up = |state: ModuleState| f64::from(u8::from(state == ModuleState::Running));
        snapshot.gauges(
            "sexton_module_up",
            "Whether a daemon module works. Those that are disabled are left out.",
            modules.iter().filter(|module| !module.state.has_stopped()).map(|it| (of(&it.name), is_up(it.state))),
        );
    }

    fn attempts(&self, snapshot: &mut Snapshot) {
        let counts = self.in_flight.counts();
        let state = |state: &str, count: usize| (vec![("state", state.to_owned())], count as f64);
        snapshot.gauges(
            "sexton_in_flight_tasks",
            "Tasks that this node has claimed: not begun, running, or finished and not recorded.",
            [state("claimed", counts.waiting), state("running", counts.running), state("unrecorded", counts.finished)],
        );
        let workers = self.in_flight.workers();
        let of = |queue: &str| vec![("queue", queue.to_owned())];
        let all = workers.iter().map(|queue| (of(&queue.queue), queue.workers as f64));
        snapshot.gauges("sexton_workers", "Workers of this node.", all);
        let busy = workers.iter().map(|queue| (of(&queue.queue), queue.busy as f64));
        snapshot.gauges("sexton_busy_workers", "Workers of this node that execute an attempt.", busy);
        let attempts = self.in_flight.attempt_counts();
        snapshot.counter("sexton_claims", "Tasks that this node has claimed.", attempts.claimed());
        let figures = attempts.figures();
        let durations = figures.iter().flat_map(|task| {
            task.durations.iter().map(|(outcome, value)| {
                let labels = vec![("task", task.name.clone()), ("outcome", outcome.to_string())];
                (labels, value.clone())
            })
        });
        snapshot.histograms(
            "sexton_task_duration_seconds",
            "Durations of the attempts that ended on this node.",
            durations,
        );
        let delays = figures.iter().filter_map(|task| Some((vec![("task", task.name.clone())], task.delays.clone()?)));
        snapshot.histograms(
            "sexton_schedule_delay_seconds",
            "Time from the due instant of a schedule to the beginning of the first attempt.",
            delays,
        );
        let commands = || figures.iter().filter_map(|task| Some((task.name.as_str(), task.commands.as_ref()?)));
        let cpu = commands().flat_map(|(name, used)| {
            used.cpu.map(|(mode, seconds)| (vec![("task", name.to_owned()), ("mode", mode.to_owned())], seconds))
        });
        snapshot.sums("sexton_command_cpu_seconds", "CPU time of the commands that ended on this node.", cpu);
        let memory = commands().map(|(name, used)| (vec![("task", name.to_owned())], used.memory.clone()));
        snapshot.histograms(
            "sexton_command_peak_memory_bytes",
            "The largest resident memory of any one process of each command.",
            memory,
        );
    }

    /// What the database says; none if it does not answer in time.
    async fn database_figures(&self) -> Option<DatabaseFigures> {
        if let Some((at, figures)) = &*self.asked.last.lock()
            && at.elapsed() < DATABASE_INTERVAL
        {
            return figures.clone();
        }
        let asked = tokio::time::timeout(DATABASE_TIMEOUT, self.ask()).await;
        let figures = asked.ok().and_then(Result::ok);
        *self.asked.last.lock() = Some((Instant::now(), figures.clone()));
        figures
    }

    async fn ask(&self) -> Result<DatabaseFigures, StoreError> {
        let now = self.store.now().await?;
        let queues = self.store.load(None).await?;
        let nodes = self.store.nodes().await?.iter().filter(|node| node.lease_expires_at >= now).count();
        let age = |queue: &QueueBacklog| queue.oldest.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
        let queues = queues.into_iter().map(|queue| (queue.clone(), age(&queue))).collect();
        Ok(DatabaseFigures { queues, nodes, rates: self.store.rates().await? })
    }
}

/// What only the database knows.
fn database(snapshot: &mut Snapshot, figures: Option<&DatabaseFigures>) {
    let is_up = f64::from(u8::from(figures.is_some()));
    snapshot.gauge("sexton_database_up", "Whether the database has answered the latest question for metrics.", is_up);
    let Some(figures) = figures else { return };
    snapshot.gauge("sexton_nodes", "Nodes with a lease.", figures.nodes as f64);
    let mut queues: BTreeMap<&str, ([i64; 3], f64)> = BTreeMap::new();
    for (queue, age) in &figures.queues {
        let known = queues.len();
        let name = if known < MAX_NAMES || queues.contains_key(&*queue.queue) { &*queue.queue } else { OTHER };
        let (tasks, oldest) = queues.entry(name).or_default();
        for (sum, count) in tasks.iter_mut().zip([queue.waiting, queue.running, queue.later]) {
            *sum += count;
        }
        *oldest = oldest.max(*age);
    }
    let states = ["waiting", "running", "later"];
    let tasks = queues.iter().flat_map(|(name, (tasks, _))| {
        let of = |state: &str| vec![("queue", (*name).to_owned()), ("state", state.to_owned())];
        states.into_iter().zip(*tasks).map(move |(state, count)| (of(state), count as f64)).collect::<Vec<_>>()
    });
    snapshot.gauges("sexton_queue_tasks", "Unfinished tasks in the whole cluster: due, running, or due later.", tasks);
    let oldest = queues.iter().map(|(name, (_, age))| (vec![("queue", (*name).to_owned())], *age));
    snapshot.gauges("sexton_queue_oldest_seconds", "For how long the oldest due task has waited.", oldest);
    let tokens = figures.rates.iter().take(MAX_NAMES).map(|rate| {
        let (of, name) = match &rate.bucket {
            BucketName::Queue(name) => ("queue", name),
            BucketName::Task(name) => ("task", name),
        };
        (vec![("of", of.to_owned()), ("name", name.clone())], rate.tokens as f64)
    });
    snapshot.gauges("sexton_rate_tokens", "Tasks that a rate lets begin now.", tokens);
}
