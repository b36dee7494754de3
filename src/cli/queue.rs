//! `sexton queue`.

use clap::Subcommand;
use serde_json::json;

use super::{
    output::Output,
    session::{Open, Session, explained},
};
use crate::domain::definition::check_name;

#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// List queues and what waits in them
    List,
    /// Pause a queue in the whole cluster: what runs goes on, nothing more is claimed
    Pause {
        /// The queue's name
        name: String,
    },
    /// Let a paused queue go on
    Resume {
        /// The queue's name
        name: String,
    },
}

pub(super) async fn run(session: &Session, output: Output, command: QueueCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        QueueCommand::List => list(&open, output).await,
        QueueCommand::Pause { name } => pause(&open, output, &name, true).await,
        QueueCommand::Resume { name } => pause(&open, output, &name, false).await,
    }
}

async fn list(open: &Open, output: Output) -> anyhow::Result<u8> {
    let known: Vec<String> = open.config.queues.keys().cloned().collect();
    let queues = open.store.queues(&known).await.map_err(explained)?;
    let columns = ["Queue", "State", "Available", "Running", "Scheduled", "Retryable"];
    output.list(&queues, columns, "There are no queues.", |queue| {
        [
            if queue.name.is_empty() { "(not filed yet)".to_owned() } else { queue.name.clone() },
            if queue.paused { "paused" } else { "active" }.to_owned(),
            queue.available.to_string(),
            queue.running.to_string(),
            queue.scheduled.to_string(),
            queue.retryable.to_string(),
        ]
    })?;
    Ok(0)
}

async fn pause(open: &Open, output: Output, name: &str, paused: bool) -> anyhow::Result<u8> {
    check_name(name).map_err(anyhow::Error::msg)?;
    let known: Vec<String> = open.config.queues.keys().cloned().collect();
    if !open.store.queues(&known).await.map_err(explained)?.iter().any(|queue| queue.name == name) {
        anyhow::bail!("there is no queue `{name}`: none of that name is configured here, and no task waits in one");
    }
    open.store.pause_queue(name, paused).await?;
    let state = if paused { "paused" } else { "active" };
    output.done(&format!("queue {name} is {state}"), &json!({ "name": name, "paused": paused }))?;
    Ok(0)
}
