//! `sexton trigger`: which triggers the nodes have.

use clap::Subcommand;
use serde::Serialize;
use sexton_entities::trigger;

use super::{
    output::{Column, Printer},
    session::{Session, with_advice},
};

#[derive(Subcommand)]
pub(super) enum TriggerCommand {
    /// List the triggers of all nodes, and of those that were here lately
    List,
}

/// A trigger of a node.
#[derive(Serialize)]
struct ShownTrigger {
    #[serde(flatten)]
    row: trigger::Model,
    /// Whether the node runs.
    live: bool,
}

pub(super) async fn run(session: &Session, output: Printer, command: TriggerCommand) -> anyhow::Result<u8> {
    let TriggerCommand::List = command;
    let open = session.open().await?;
    let live = open.store.live_names().await.map_err(with_advice)?;
    let rows = open.store.triggers().await.map_err(with_advice)?;
    let is_live = |node: &str| live.iter().any(|known| known.node == node);
    let shown: Vec<ShownTrigger> = rows.into_iter().map(|row| ShownTrigger { live: is_live(&row.node), row }).collect();
    let columns = [
        Column::name("Trigger"),
        Column::name("Events"),
        Column::name("Task"),
        Column::name("Node"),
        Column::value("Since").leaves(1),
        Column::word("Runs"),
    ];
    output.list(&shown, columns, "No node has a trigger.", |trigger| {
        let row = &trigger.row;
        let events = serde_json::from_str::<Vec<String>>(&row.patterns).map(|names| names.join(", "));
        [
            row.name.clone(),
            events.unwrap_or_else(|_| row.patterns.clone()),
            row.task.clone(),
            row.node.clone(),
            output.time(row.since),
            if trigger.live { "yes" } else { "no" }.to_owned(),
        ]
    })?;
    Ok(0)
}
