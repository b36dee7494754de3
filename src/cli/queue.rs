//! `sexton queue`.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::{
    output::{Column, Printer},
    pause,
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    config::Config,
    domain::{
        identity::QueueName,
        task::{
            definition::check_name,
            waiting::{ClusterQueues, LongRunner, ServedBy, whole},
        },
        text::suggest,
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
        let words = [
            cluster.everything_paused.then(|| "everything is paused".to_owned()),
            row.paused.then(|| pause::state(output, true, &row.pause)),
            config.rules_of(&row.name, now).closed,
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
    Ok(queues.into_iter().map(|row| QueueListing::of(output, &open.config, &cluster, row, now)).collect())
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
    ];
    output.list(queues, columns, "There are no queues.", |QueueListing { row: queue, state, .. }| {
        [
            if queue.name.is_empty() { "(no queue yet)".to_owned() } else { queue.name.to_string() },
            state.clone(),
            queue.available.to_string(),
            queue.running.to_string(),
            queue.scheduled.to_string(),
            queue.retryable.to_string(),
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
    let known: Vec<QueueName> = open.config.queues.keys().cloned().collect();
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
    pause::report(output, &format!("queue {name}"), paused, &details, &json!({ "name": name }))
}
