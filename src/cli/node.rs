//! `sexton node`.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;
use sexton_entities::{dead_node, node};

use super::{
    output::{Column, Printer},
    session::{Session, with_advice},
};
use crate::domain::text::duration;

#[derive(Subcommand)]
pub(super) enum NodeCommand {
    /// List running daemons, and those that died within the last day
    List,
}

/// A node that lives, or that died lately.
#[derive(Serialize)]
struct NodeListing {
    id: String,
    name: String,
    host: String,
    pid: i32,
    version: String,
    /// `running`, `draining`, `quiet` or `dead`.
    state: String,
    started_at: DateTime<Utc>,
    heartbeat_at: DateTime<Utc>,
    lease_expires_at: DateTime<Utc>,
    /// None if it is dead.
    modules: Option<Value>,
    defines: Option<Value>,
    queues: Option<Value>,
    /// Which deployed version of the configuration it has in force and which one it refuses; none without `[deploy]`.
    deployment: Option<Value>,
}

impl NodeListing {
    fn of(node: node::Model, now: DateTime<Utc>) -> Self {
        let state = if node.lease_expires_at < now { "dead".to_owned() } else { node.state.to_string() };
        Self {
            id: node.id,
            name: node.name,
            host: node.host,
            pid: node.pid,
            version: node.version,
            state,
            started_at: node.started_at,
            heartbeat_at: node.heartbeat_at,
            lease_expires_at: node.lease_expires_at,
            modules: node.modules,
            defines: node.defines,
            queues: node.queues,
            deployment: node.deployment,
        }
    }
}

impl From<dead_node::Model> for NodeListing {
    fn from(node: dead_node::Model) -> Self {
        Self {
            id: node.id,
            name: node.name,
            host: node.host,
            pid: node.pid,
            version: node.version,
            state: "dead".to_owned(),
            started_at: node.started_at,
            heartbeat_at: node.heartbeat_at,
            lease_expires_at: node.lease_expires_at,
            modules: None,
            defines: None,
            queues: None,
            deployment: None,
        }
    }
}

pub(super) async fn list(session: &Session, output: Printer) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let nodes = open.store.nodes().await.map_err(with_advice)?;
    let now = open.store.now().await?;
    let mut listed: Vec<NodeListing> = nodes.into_iter().map(|node| NodeListing::of(node, now)).collect();
    for dead in open.store.dead_nodes().await.map_err(with_advice)? {
        // A node that was declared dead may come back.
        if !listed.iter().any(|node| node.id == dead.id) {
            listed.push(dead.into());
        }
    }
    let columns = [
        Column::name("Node"),
        Column::name("Host").leaves(1),
        Column::value("Pid").leaves(3),
        Column::value("Version").leaves(4),
        Column::word("State"),
        Column::value("Started").leaves(2),
        Column::value("Heartbeat"),
        Column::value("Deployed").leaves(5),
    ];
    output.list(&listed, columns, "No node is running.", |node| {
        [
            node.id.clone(),
            node.host.clone(),
            node.pid.to_string(),
            node.version.clone(),
            node.state.clone(),
            output.time(node.started_at),
            format!("{} ago", duration::short((now - node.heartbeat_at).num_milliseconds())),
            deployed(node.deployment.as_ref()),
        ]
    })?;
    Ok(0)
}

/// The deployed version of a node, for people.
fn deployed(deployment: Option<&Value>) -> String {
    let number = |value: &Value| value.as_i64().map(|number| number.to_string());
    let Some(deployment) = deployment else { return "-".to_owned() };
    let in_force = number(&deployment["in_force"]).unwrap_or_else(|| "none".to_owned());
    match number(&deployment["refused"]["number"]) {
        Some(refused) => format!("{in_force}, refuses {refused}"),
        None => in_force,
    }
}
