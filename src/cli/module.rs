//! `sexton module`: the daemon's parts, as the daemon here tells of them, or as all nodes did with their latest heartbeat.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};
use sexton_entities::node;

use super::{
    control,
    output::{Printer, or_dash},
    session::{Session, explained},
    time,
};
use crate::daemon::{Module, ModuleStatus};

#[derive(Subcommand)]
pub(super) enum ModuleCommand {
    /// List the modules of the daemon here; without one, those of each node as of its latest heartbeat
    List {
        /// Those of each node, as of its latest heartbeat
        #[arg(long)]
        all: bool,
    },
    /// Have the daemon here replace a module by a fresh one
    Restart {
        /// Which one
        name: String,
    },
}

pub(super) async fn run(session: &Session, output: Printer, command: ModuleCommand) -> anyhow::Result<u8> {
    match command {
        ModuleCommand::List { all } => list(session, output, all).await,
        ModuleCommand::Restart { name } => restart(session, output, &name).await,
    }
}

/// The modules of the daemon here, or else those of all nodes.
pub(super) async fn known(session: &Session, all: bool) -> anyhow::Result<Vec<Module>> {
    if !all && let Some(modules) = control::ask_if_there(session, Method::GET, "/modules").await? {
        return Ok(modules);
    }
    let open = session.open().await?;
    let nodes = open.store.nodes().await.map_err(explained)?;
    Ok(nodes
        .iter()
        .flat_map(|node| of_heartbeat(node).into_iter().map(|status| Module { node: node.id.clone(), status }))
        .collect())
}

/// What a node's latest heartbeat said of its modules.
pub(super) fn of_heartbeat(node: &node::Model) -> Vec<ModuleStatus> {
    node.modules.clone().and_then(|modules| serde_json::from_value(modules).ok()).unwrap_or_default()
}

async fn list(session: &Session, output: Printer, all: bool) -> anyhow::Result<u8> {
    let modules = known(session, all).await?;
    let columns = ["Node", "Module", "State", "Failures", "Started", "Last error"];
    output.list(&modules, columns, "No module is up.", |Module { node, status }| {
        [
            node.clone(),
            status.name.clone(),
            status.state.to_string(),
            status.failures.to_string(),
            or_dash(status.started_at.map(time::shown)),
            or_dash(status.last_error.clone()),
        ]
    })?;
    Ok(0)
}

async fn restart(session: &Session, output: Printer, name: &str) -> anyhow::Result<u8> {
    let path =
        format!("/modules/{}/restart", url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>());
    let answer: Value = control::ask(session, Method::POST, &path, None).await?;
    output.done(&format!("module {name} is being replaced by a fresh one"), &json!(answer))?;
    Ok(0)
}
