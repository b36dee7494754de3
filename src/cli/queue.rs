//! `sexton queue`.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::{
    output::Printer,
    session::{Open, Session, explained},
    why::shut,
};
use crate::{
    config::Config,
    domain::{identity::QueueName, task::definition::check_name},
    store::QueueRow,
};

#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// List queues and what waits in them
    List,
    /// Pause a queue in the whole cluster: what runs goes on, nothing more is claimed
    Pause {
        /// The queue's name
        name: QueueName,
    },
    /// Let a paused queue go on
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

/// A queue as it stands, and whether it is shut.
#[derive(Serialize)]
pub(super) struct QueueListing {
    #[serde(flatten)]
    pub(super) row: QueueRow,
    /// The period in which its tasks may begin, as the configuration here says.
    period: Option<String>,
    /// It is outside it.
    shut: bool,
    /// The next change; none without a period, or if nothing changes any more.
    until: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub(super) state: String,
}

impl QueueListing {
    fn of(config: &Config, row: QueueRow, now: DateTime<Utc>) -> Self {
        let period = config.queues.get(&row.name).and_then(|queue| queue.period.clone());
        let standing = period.as_ref().and_then(|name| Some(config.periods.get(name)?.status(now)));
        let words = [row.paused.then(|| "paused".to_owned()), shut(config, &row.name, now)];
        let state = words.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Self {
            period,
            shut: standing.is_some_and(|standing| !standing.inside),
            until: standing.and_then(|standing| standing.until),
            state: if state.is_empty() { "active".to_owned() } else { state },
            row,
        }
    }
}

/// All queues that are known, by name.
pub(super) async fn listed(open: &Open) -> anyhow::Result<Vec<QueueListing>> {
    let known: Vec<QueueName> = open.config.queues.keys().cloned().collect();
    let queues = open.store.queues(&known).await.map_err(explained)?;
    // The daemon goes by the same clock.
    let now = open.store.now().await.map_err(explained)?;
    Ok(queues.into_iter().map(|row| QueueListing::of(&open.config, row, now)).collect())
}

async fn list(open: &Open, output: Printer) -> anyhow::Result<u8> {
    let queues = listed(open).await?;
    let columns = ["Queue", "State", "Available", "Running", "Scheduled", "Retryable"];
    output.list(&queues, columns, "There are no queues.", |QueueListing { row: queue, state, .. }| {
        [
            if queue.name.is_empty() { "(not filed yet)".to_owned() } else { queue.name.to_string() },
            state.clone(),
            queue.available.to_string(),
            queue.running.to_string(),
            queue.scheduled.to_string(),
            queue.retryable.to_string(),
        ]
    })?;
    Ok(0)
}

async fn pause(open: &Open, output: Printer, name: &QueueName, paused: bool) -> anyhow::Result<u8> {
    check_name(name).map_err(anyhow::Error::msg)?;
    let known: Vec<QueueName> = open.config.queues.keys().cloned().collect();
    if !open.store.queues(&known).await.map_err(explained)?.iter().any(|queue| queue.name == *name) {
        anyhow::bail!("there is no queue `{name}`: none of that name is configured here, and no task waits in one");
    }
    open.store.pause_queue(name, paused).await?;
    let state = if paused { "paused" } else { "active" };
    output.done(&format!("queue {name} is {state}"), &json!({ "name": name, "paused": paused }))?;
    Ok(0)
}
