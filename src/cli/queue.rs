//! `sexton queue`.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::{
    output::{Column, Printer},
    session::{OpenSession, Session, with_advice},
    why::closed,
};
use crate::{
    config::Config,
    domain::{identity::QueueName, task::definition::check_name},
    store::QueueRow,
};

#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// List queues and the numbers of their tasks
    List,
    /// Pause a queue in the whole cluster: running tasks continue, no further task is claimed
    Pause {
        /// The queue's name
        name: QueueName,
    },
    /// Resume a paused queue
    Resume {
        /// The queue's name
        name: QueueName,
    },
}

pub(super) async fn run(session: &Session, output: Printer, command: QueueCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        QueueCommand::List => list(&open, output).await,
        QueueCommand::Pause { name } => pause(&open, output, &name, true).await,
        QueueCommand::Resume { name } => pause(&open, output, &name, false).await,
    }
}

/// A queue in the database, and its period in this configuration.
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
    #[serde(skip)]
    pub(super) state: String,
}

impl QueueListing {
    fn of(config: &Config, row: QueueRow, now: DateTime<Utc>) -> Self {
        let period = config.queues.get(&row.name).and_then(|queue| queue.period.clone());
        let standing = period.as_ref().and_then(|name| Some(config.periods.get(name)?.status(now)));
        let words = [row.paused.then(|| "paused".to_owned()), closed(config, &row.name, now)];
        let state = words.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Self {
            period,
            closed: standing.is_some_and(|standing| !standing.inside),
            until: standing.and_then(|standing| standing.until),
            state: if state.is_empty() { "active".to_owned() } else { state },
            row,
        }
    }
}

/// All queues in the database and in the configuration, by name.
pub(super) async fn listed(open: &OpenSession) -> anyhow::Result<Vec<QueueListing>> {
    let known: Vec<QueueName> = open.config.queues.keys().cloned().collect();
    let queues = open.store.queues(&known).await.map_err(with_advice)?;
    // Database time, as the daemon uses it.
    let now = open.store.now().await.map_err(with_advice)?;
    Ok(queues.into_iter().map(|row| QueueListing::of(&open.config, row, now)).collect())
}

async fn list(open: &OpenSession, output: Printer) -> anyhow::Result<u8> {
    print(output, &listed(open).await?)?;
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

async fn pause(open: &OpenSession, output: Printer, name: &QueueName, paused: bool) -> anyhow::Result<u8> {
    check_name(name).map_err(anyhow::Error::msg)?;
    let known: Vec<QueueName> = open.config.queues.keys().cloned().collect();
    if !open.store.queues(&known).await.map_err(with_advice)?.iter().any(|queue| queue.name == *name) {
        anyhow::bail!("there is no queue `{name}`: it is not configured here, and has no waiting tasks");
    }
    open.store.pause_queue(name, paused).await?;
    let state = if paused { "paused" } else { "active" };
    output.report(&format!("queue {name} is {state}"), &json!({ "name": name, "paused": paused }))?;
    Ok(0)
}
