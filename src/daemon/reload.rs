//! Orders that a daemon carries out while it goes on: reload, be quiet, tell.

use super::shared::Shared;
use crate::{
    config::{Config, ConfigDiff, Mistakes},
    domain::span,
};

/// Reads the configuration anew.
pub type Loader = Box<dyn Fn() -> Result<Config, Mistakes> + Send + Sync>;

/// Puts a changed configuration in force. With a mistake in it, the old one stays, whole.
pub(super) fn reload(shared: &Shared, loader: &Loader) {
    match loader() {
        Err(mistakes) => {
            tracing::error!("the configuration is not reloaded, and the old one stays in force:\n{mistakes}");
        }
        Ok(new) => {
            let diff = ConfigDiff::between(&shared.config(), &new);
            tracing::info!("the configuration is reloaded: {diff}");
            if !diff.needs_restart.is_empty() {
                tracing::warn!("changed, but not before the next start: {}", diff.needs_restart.join(", "));
            }
            shared.set_config(new);
            shared.reconfigure();
        }
    }
}

/// Claims nothing for now, or goes on.
pub(super) fn be_quiet(shared: &Shared, quiet: bool) {
    shared.hand.be_quiet(quiet);
    tracing::info!("{}", if quiet { "claiming nothing until CONT" } else { "claiming again" });
}

/// Tells what runs.
pub(super) fn tell(shared: &Shared) {
    let counts = shared.hand.counts();
    tracing::info!("{} running, {} claimed, {} to be recorded", counts.running, counts.waiting, counts.finished);
    for running in shared.hand.running() {
        let task = running.task;
        tracing::info!(
            task.id = task.id,
            task.attempt,
            "{} in queue {} for {}",
            task.name,
            task.queue,
            span::short(running.since.as_millis() as i64)
        );
    }
}
