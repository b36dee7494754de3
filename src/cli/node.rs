//! `sexton node`.

use clap::Subcommand;

use super::{
    output::{Column, Printer},
    session::{Session, with_advice},
};
use crate::domain::text::duration;

#[derive(Subcommand)]
pub(super) enum NodeCommand {
    /// List running daemons
    List,
}

pub(super) async fn list(session: &Session, output: Printer) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let nodes = open.store.nodes().await.map_err(with_advice)?;
    let now = open.store.now().await?;
    let columns = [
        Column::name("Node"),
        Column::name("Host").leaves(1),
        Column::value("Pid").leaves(3),
        Column::value("Version").leaves(4),
        Column::word("State"),
        Column::value("Started").leaves(2),
        Column::value("Heartbeat"),
    ];
    output.list(&nodes, columns, "No node is running.", |node| {
        let state = if node.lease_expires_at < now { "dead".to_owned() } else { node.state.to_string() };
        [
            node.id.clone(),
            node.host.clone(),
            node.pid.to_string(),
            node.version.clone(),
            state,
            output.time(node.started_at),
            format!("{} ago", duration::short((now - node.heartbeat_at).num_milliseconds())),
        ]
    })?;
    Ok(0)
}
