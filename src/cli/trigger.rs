//! `sexton trigger`: which triggers the nodes have, and whether they see their files.

use std::collections::BTreeSet;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use sexton_entities::trigger;

use super::{
    output::{Column, Printer, print_line},
    session::{Session, with_advice},
};
use crate::domain::{event::path_watch::FILE_EVENTS, text::suggest};

#[derive(Subcommand)]
pub(super) enum TriggerCommand {
    /// List the triggers of all nodes, and of those that were here lately
    List,
    /// Show a trigger: its events or files, and what is wrong on each node
    Show {
        /// The trigger's name
        name: String,
    },
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
    let open = session.open().await?;
    let live = open.store.live_names().await.map_err(with_advice)?;
    let rows = open.store.triggers().await.map_err(with_advice)?;
    let is_live = |node: &str| live.iter().any(|known| known.node == node);
    let shown: Vec<ShownTrigger> = rows.into_iter().map(|row| ShownTrigger { live: is_live(&row.node), row }).collect();
    match command {
        TriggerCommand::List => list(output, &shown)?,
        TriggerCommand::Show { name } => {
            let names: BTreeSet<&str> = shown.iter().map(|trigger| trigger.row.name.as_str()).collect();
            if !names.contains(name.as_str()) {
                let hint = suggest::hint(&name, names);
                anyhow::bail!(
                    "no node has a trigger `{name}`{hint}; a node that has it enters it when it starts or reloads"
                );
            }
            let of_name: Vec<_> = shown.into_iter().filter(|trigger| trigger.row.name == name).collect();
            show(output, &of_name)?;
        }
    }
    Ok(0)
}

fn list(output: Printer, shown: &[ShownTrigger]) -> anyhow::Result<()> {
    let columns = [
        Column::name("Trigger"),
        Column::name("Events"),
        Column::name("Task"),
        Column::name("Node"),
        Column::value("Since").leaves(1),
        Column::word("Runs"),
    ];
    output.list(shown, columns, "No node has a trigger.", |trigger| {
        let row = &trigger.row;
        let runs = match (trigger.live, &row.trouble) {
            (true, Some(_)) => "trouble",
            (true, None) => "yes",
            (false, _) => "no",
        };
        let files = row.watches.as_deref().and_then(files);
        [
            row.name.clone(),
            files.map_or_else(|| events(row), |files| files.paths()),
            row.task.clone(),
            row.node.clone(),
            output.time(row.since),
            runs.to_owned(),
        ]
    })?;
    Ok(())
}

fn show(output: Printer, nodes: &[ShownTrigger]) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(nodes);
    }
    for ShownTrigger { row, live } in nodes {
        let state = if *live { "" } else { ", which does not run" };
        print_line!(
            "Trigger {} of node {}{state}: task {}, since {}",
            row.name,
            row.node,
            row.task,
            output.time(row.since)
        );
        match row.watches.as_deref().and_then(files) {
            Some(files) => print_line!("files {}: {}", files.paths(), files.sentence()),
            None => print_line!("events {}", events(row)),
        }
        if let Some(trouble) = &row.trouble {
            print_line!("trouble: {trouble}");
        }
    }
    if let Some(first) = nodes.first().filter(|trigger| trigger.row.watches.is_some()) {
        print_line!("`sexton event list --name {FILE_EVENTS}{}` lists the files that it has seen", first.row.name);
    }
    Ok(())
}

/// The names of its events.
fn events(row: &trigger::Model) -> String {
    let names = serde_json::from_str::<Vec<String>>(&row.patterns).map(|names| names.join(", "));
    names.unwrap_or_else(|_| row.patterns.clone())
}

/// Which files a trigger is for, as a node has entered it.
#[derive(Deserialize)]
struct WatchedFiles {
    on_path: Vec<String>,
    path_event: String,
    settle: String,
    shared: bool,
}

fn files(text: &str) -> Option<WatchedFiles> {
    serde_json::from_str(text).ok()
}

impl WatchedFiles {
    fn paths(&self) -> String {
        self.on_path.join(", ")
    }

    fn sentence(&self) -> String {
        let moment = match self.path_event.as_str() {
            "settled" => format!("an event once a file has stayed the same for {}", self.settle),
            "created" => "an event as soon as a file is there".to_owned(),
            _ => "an event as soon as a file is there, and after each change".to_owned(),
        };
        let once = if self.shared { "; one in the cluster" } else { "" };
        format!("{moment}{once}")
    }
}
