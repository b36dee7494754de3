//! `sexton module`: the modules of the daemon on this host, or of all nodes as of their latest heartbeats.

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};
use sexton_entities::node;

use super::{
    control,
    output::{Column, Printer, or_dash},
    session::{ReasonArgs, Session, with_advice},
};
use crate::daemon::{Module, ModuleStatus};

#[derive(Subcommand)]
pub(super) enum ModuleCommand {
    /// List the modules of the daemon on this host; without one, of each node as of its latest heartbeat
    List {
        /// List the modules of each node, as of its latest heartbeat
        #[arg(long)]
        all: bool,
    },
    /// Recycle a module of the daemon on this host: a new instance replaces it
    Restart {
        /// The module's name
        name: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

pub(super) async fn run(session: &Session, output: Printer, command: ModuleCommand) -> anyhow::Result<u8> {
    match command {
        ModuleCommand::List { all } => list(session, output, all).await,
        ModuleCommand::Restart { name, reason } => restart(session, output, &name, &reason).await,
    }
}

/// The modules of the daemon on this host; if none is running, of all nodes.
pub(super) async fn known(session: &Session, all: bool) -> anyhow::Result<Vec<Module>> {
    if !all && let Some(modules) = control::request_if_running(session, Method::GET, "/modules").await? {
        return Ok(modules);
    }
    let open = session.open().await?;
    let nodes = open.store.nodes().await.map_err(with_advice)?;
    Ok(nodes
        .iter()
        .flat_map(|node| of_heartbeat(node).into_iter().map(|status| Module { node: node.id.clone(), status }))
        .collect())
}

/// The modules of a node, as of its latest heartbeat.
pub(super) fn of_heartbeat(node: &node::Model) -> Vec<ModuleStatus> {
    node.modules.clone().and_then(|modules| serde_json::from_value(modules).ok()).unwrap_or_default()
}

async fn list(session: &Session, output: Printer, all: bool) -> anyhow::Result<u8> {
    let modules = known(session, all).await?;
    let columns = [
        Column::name("Node").leaves(3),
        Column::name("Module"),
        Column::word("State"),
        Column::value("Failures").leaves(2),
        Column::value("Started").leaves(1),
        Column::prose("Last error"),
    ];
    output.list(&modules, columns, "No daemon is running.", |Module { node, status }| {
        [
            node.clone(),
            status.name.clone(),
            status.state.to_string(),
            status.failures.to_string(),
            output.time_or_dash(status.started_at),
            or_dash(status.last_error.clone()),
        ]
    })?;
    Ok(0)
}

async fn restart(session: &Session, output: Printer, name: &str, reason: &ReasonArgs) -> anyhow::Result<u8> {
    let path =
        format!("/modules/{}/restart", url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>());
    let answer: Value = control::deed(session, &path, reason).await?;
    output.report(&format!("module {name} is being recycled"), &json!(answer))?;
    Ok(0)
}
