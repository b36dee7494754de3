//! Two nodes of one name: the second one does not start. Nobody could tell them apart, and what the rows say of one would
//! be of the other.
//!
//! A node that crashed keeps its lease for a while. Its successor starts at once on the same machine, where its process is
//! seen to be gone. Elsewhere it waits for the next heartbeat, at most for the length of a lease.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{sys::signal::kill, unistd::Pid};
use sexton_entities::node;

use crate::{
    daemon::state::this_node::NodeIdentity,
    domain::text::duration,
    store::{Store, StoreError},
};

/// How often it looks for a heartbeat of the other node.
const INTERVAL: Duration = Duration::from_millis(500);

/// Waits until no other node of that name runs.
///
/// # Errors
/// If one does.
pub(in crate::daemon) async fn refuse(store: &Store, own: &NodeIdentity, lease: Duration) -> anyhow::Result<()> {
    let Some(first) = other(store, own).await else { return Ok(()) };
    let begun = Instant::now();
    let longest = duration::text(lease);
    tracing::info!("{} may still run: waiting for its next heartbeat, at most {longest}", described(&first));
    while begun.elapsed() < lease {
        tokio::time::sleep(INTERVAL).await;
        match other(store, own).await {
            Some(now) if now.id != first.id || now.heartbeat_at > first.heartbeat_at => anyhow::bail!(
                "{} runs already on this database. Two nodes need two names: set daemon.name, or stop the other one",
                described(&now)
            ),
            Some(_) => {}
            None => return Ok(()),
        }
    }
    tracing::warn!("{} gave no sign of life within {longest}: it counts as dead", described(&first));
    Ok(())
}

/// Another node of the same name that has a lease and may run. What cannot be read prevents no start.
async fn other(store: &Store, own: &NodeIdentity) -> Option<node::Model> {
    let read = async { Ok::<_, StoreError>((store.nodes().await?, store.now().await?)) };
    let (nodes, now) = match read.await {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!("cannot look for another node named {}: {error}", own.name);
            return None;
        }
    };
    nodes
        .into_iter()
        .filter(|row| row.name == own.name && row.id != own.id.as_str())
        .find(|row| row.lease_expires_at > now && !(row.host == own.host && is_gone(row.pid)))
}

/// Whether a process of this machine is gone. A row with the own number is that of a predecessor.
fn is_gone(pid: i32) -> bool {
    // A process that has ended keeps its number until its parent has asked for its end.
    let has_ended = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    u32::try_from(pid).is_ok_and(|pid| pid == std::process::id())
        || kill(Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH)
        || has_ended()
}

fn described(row: &node::Model) -> String {
    format!("node {} ({}, process {} on host {})", row.name, row.id, row.pid, row.host)
}
