//! `sexton node` and `sexton module`.

use clap::Subcommand;
use serde_json::json;
use sexton_entities::node;

use super::{
    output::{Output, or_dash},
    session::{Session, explained},
    time,
};
use crate::{daemon::ModuleStatus, domain::span};

#[derive(Subcommand)]
pub(super) enum NodeCommand {
    /// List running daemons
    List,
}

#[derive(Subcommand)]
pub(super) enum ModuleCommand {
    /// List the daemon modules of each node, as of its latest heartbeat
    List,
}

pub(super) async fn list(session: &Session, output: Output) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let nodes = open.store.nodes().await.map_err(explained)?;
    let now = open.store.now().await?;
    let columns = ["Node", "Host", "Pid", "Version", "State", "Started", "Heartbeat"];
    output.list(&nodes, columns, "No node is running.", |node| {
        let state = if node.lease_expires_at < now { "dead".to_owned() } else { node.state.to_string() };
        [
            node.id.clone(),
            node.host.clone(),
            node.pid.to_string(),
            node.version.clone(),
            state,
            time::shown(node.started_at),
            format!("{} ago", span::short((now - node.heartbeat_at).num_milliseconds())),
        ]
    })?;
    Ok(0)
}

/// What a node's latest heartbeat said of its modules.
pub(super) fn modules_of(node: &node::Model) -> Vec<ModuleStatus> {
    node.modules.clone().and_then(|modules| serde_json::from_value(modules).ok()).unwrap_or_default()
}

pub(super) async fn modules(session: &Session, output: Output) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let mut rows = Vec::new();
    for node in open.store.nodes().await.map_err(explained)? {
        for module in modules_of(&node) {
            rows.push((node.id.clone(), module));
        }
    }
    if output.is_json() {
        let objects: Vec<_> = rows
            .iter()
            .map(|(node, module)| {
                let mut object = json!(module);
                object["node"] = json!(node);
                object
            })
            .collect();
        output.value(&objects)?;
        return Ok(0);
    }
    let columns = ["Node", "Module", "State", "Falls", "Started", "Last error"].map(str::to_owned);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|(node, module)| {
            vec![
                node.clone(),
                module.name.clone(),
                json!(module.state).as_str().unwrap_or_default().replace('_', " "),
                module.falls.to_string(),
                or_dash(module.started_at.map(time::shown)),
                or_dash(module.last_error.clone()),
            ]
        })
        .collect();
    output.table(&columns, &cells, "No node is running.");
    Ok(0)
}
