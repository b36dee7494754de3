//! `sexton queue`.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::{
    output::{Column, Printer, print_line},
    pause,
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    config::Config,
    domain::{
        identity::QueueName,
        task::{
            definition::check_name,
            names::{DefinedBy, defined_by},
            rate::BucketName,
            waiting::{ClusterQueues, LongRunner, ServedBy, whole},
        },
        text::{plural::counted, suggest},
    },
    store::{QueueRow, Wakeup},
};

#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// List queues and the numbers of their tasks
    List,
    /// Pause a queue in the whole cluster: running tasks continue, no further task is claimed
    Pause {
        /// The queue's name
        name: QueueName,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Resume a paused queue
    Resume {
        /// The queue's name
        name: QueueName,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

pub(super) async fn run(session: &Session, output: Printer, command: QueueCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        QueueCommand::List => list(&open, output).await,
        QueueCommand::Pause { name, reason } => pause(&open, output, &name, true, &reason).await,
        QueueCommand::Resume { name, reason } => pause(&open, output, &name, false, &reason).await,
    }
}

/// A queue in the database, its period in this configuration, and who serves it.
#[derive(Serialize)]
pub(super) struct QueueListing {
    #[serde(flatten)]
    pub(super) row: QueueRow,
    /// The period outside which none of its tasks begins.
    period: Option<String>,
    /// Whether the present time is outside the period.
    closed: bool,
    /// When the period begins or ends next; none without a period or a further change.
    until: Option<DateTime<Utc>>,
    /// Whether nodes take tasks from it: `served`, `no_node`, `nobody`, `quiet`, or `unknown`.
    service: &'static str,
    /// The number of its workers in the cluster.
    workers: usize,
    /// Since when no worker has become free, if that has lasted for a while.
    full_since: Option<DateTime<Utc>>,
    /// How many of its tasks may begin in a length of time, by this configuration.
    rate: Option<String>,
    /// When its next task may begin, if its rate is used up.
    next_begin: Option<DateTime<Utc>>,
    /// The task that has run for the longest time.
    longest: Option<LongRunner>,
    #[serde(skip)]
    pub(super) state: String,
}

impl QueueListing {
    fn of(output: Printer, config: &Config, cluster: &ClusterQueues, row: QueueRow, now: DateTime<Utc>) -> Self {
        let period = config.queues.get(&row.name).and_then(|queue| queue.period.clone());
        let standing = period.as_ref().and_then(|name| Some(config.periods.get(name)?.status(now)));
        let longest = cluster.load(&row.name).longest;
        let (service, words) = match cluster.served_by(&row.name) {
            ServedBy::NoNode => ("no_node", Some("no node is running".to_owned())),
            ServedBy::Nobody => ("nobody", Some("no node serves it".to_owned())),
            ServedBy::Quiet => ("quiet", Some("each node that serves it is quiet or about to stop".to_owned())),
            ServedBy::Perhaps(_) => ("unknown", None),
            ServedBy::Workers { full_since, .. } => ("served", full_since.map(|at| full(at, longest.as_ref(), now))),
        };
        let (workers, full_since) = match cluster.served_by(&row.name) {
            ServedBy::Workers { count, full_since } => (count, full_since),
            _ => (0, None),
        };
        // Tasks without a queue get one as soon as a node runs.
        let words = words.filter(|_| !row.name.is_empty() || service == "no_node");
        let bucket = BucketName::Queue(row.name.to_string());
        let next_begin = cluster.used_up.get(&bucket).map(|(_, next_at)| *next_at);
        // Without tasks nobody waits for a token.
        let used_up = cluster.rate_cause(bucket, now).filter(|_| row.available > 0).map(|cause| cause.to_string());
        let words = [
            cluster.maintenance.then(|| "maintenance is on".to_owned()),
            cluster.everything_paused.then(|| "everything is paused".to_owned()),
            row.paused.then(|| pause::state(output, true, &row.pause)),
            config.rules_of(&row.name, now).closed,
            used_up,
            words,
        ];
        let state = words.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Self {
            period,
            closed: standing.is_some_and(|standing| !standing.inside),
            until: standing.and_then(|standing| standing.until),
            service,
            workers,
            full_since,
            rate: config.queues.get(&row.name).and_then(|queue| Some(queue.rate?.to_string())),
            next_begin,
            longest,
            state: if state.is_empty() { "active".to_owned() } else { state },
            row,
        }
    }
}

/// That a queue has had no free worker for a while.
fn full(since: DateTime<Utc>, longest: Option<&LongRunner>, now: DateTime<Utc>) -> String {
    let length = |since: DateTime<Utc>| whole((now - since).to_std().unwrap_or_default());
    let longest =
        longest.map(|task| format!(", the longest runs {task} for {}", length(task.started_at))).unwrap_or_default();
    format!("no free worker for {}{longest}", length(since))
}

/// All queues in the database and in the configuration, by name.
pub(super) async fn listed(open: &OpenSession, output: Printer) -> anyhow::Result<Vec<QueueListing>> {
    let known: Vec<QueueName> = open.config.queues.keys().cloned().collect();
    let queues = open.store.queues(&known).await.map_err(with_advice)?;
    let cluster = open.store.cluster_queues().await.map_err(with_advice)?;
    // Database time, as the daemon uses it.
    let now = open.store.now().await.map_err(with_advice)?;
    let mut listed: Vec<QueueListing> =
        queues.into_iter().map(|row| QueueListing::of(output, &open.config, &cluster, row, now)).collect();
    let aside = open.store.set_aside_in_queues().await.map_err(with_advice)?;
    if !aside.is_empty() {
        let live = open.store.live_names().await.map_err(with_advice)?;
        for queue in &mut listed {
            let waiting = aside.get(&queue.row.name).into_iter().flatten();
            for (name, tasks) in waiting.filter(|(name, _)| matches!(defined_by(name, &live), DefinedBy::Disabled(_))) {
                let tasks = counted(usize::try_from(*tasks).unwrap_or(usize::MAX), "task");
                queue.state += &format!("; `{name}` is disabled: {tasks} set aside");
            }
        }
    }
    Ok(listed)
}

async fn list(open: &OpenSession, output: Printer) -> anyhow::Result<u8> {
    print(output, &listed(open, output).await?)?;
    Ok(0)
}

/// Prints queues.
pub(super) fn print(output: Printer, queues: &[QueueListing]) -> anyhow::Result<()> {
    let columns = [
        Column::name("Queue"),
        Column::prose("State"),
        Column::value("Available"),
        Column::value("Running"),
        Column::value("Scheduled").leaves(2),
        Column::value("Retryable").leaves(1),
        Column::value("Waiting").leaves(3),
    ];
    output.list(queues, columns, "There are no queues.", |QueueListing { row: queue, state, .. }| {
        [
            if queue.name.is_empty() { "(no queue yet)".to_owned() } else { queue.name.to_string() },
            state.clone(),
            queue.available.to_string(),
            queue.running.to_string(),
            queue.scheduled.to_string(),
            queue.retryable.to_string(),
            queue.waiting.to_string(),
        ]
    })
}

async fn pause(
    open: &OpenSession,
    output: Printer,
    name: &QueueName,
    paused: bool,
    reason: &ReasonArgs,
) -> anyhow::Result<u8> {
    check_name(name).map_err(anyhow::Error::msg)?;
    let mut known: Vec<QueueName> = open.config.queues.keys().cloned().collect();
    let is_own = known.contains(name);
    let mut elsewhere: Vec<String> = Vec::new();
    for node in open.store.live_queues().await.map_err(with_advice)? {
        let served = node.queues.into_iter().flatten().filter(|(_, served)| served.workers > 0);
        let served: Vec<QueueName> = served.map(|(queue, _)| queue.into()).collect();
        if served.contains(name) {
            elsewhere.push(node.node);
        }
        known.extend(served);
    }
    let queues = open.store.queues(&known).await.map_err(with_advice)?;
    if !queues.iter().any(|queue| queue.name == *name) {
        let hint = suggest::hint(name, queues.iter().map(|queue| &*queue.name));
        anyhow::bail!("there is no queue `{name}`: it is not configured here, and has no waiting tasks{hint}");
    }
    open.because(reason).pause_queue(name, paused).await.map_err(with_advice)?;
    if !paused {
        open.client.wake_up_now(Wakeup::Now).await?;
    }
    let queues = open.store.queues(&[]).await.map_err(with_advice)?;
    let details = queues.into_iter().find(|queue| queue.name == *name).map(|queue| queue.pause).unwrap_or_default();
    let code = pause::report(output, &format!("queue {name}"), paused, &details, &json!({ "name": name }))?;
    if !is_own && !elsewhere.is_empty() && !output.is_json() {
        print_line!("this configuration does not have the queue; it is served by {}", elsewhere.join(", "));
    }
    Ok(code)
}
