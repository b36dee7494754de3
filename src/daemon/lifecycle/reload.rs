//! Orders that a daemon carries out while it goes on: reload, be quiet, tell.

use std::sync::Arc;

use serde_json::{Value, json};

use super::status::DaemonStatus;
use crate::{
    config::{Config, ConfigDiff, DaemonConfig, Mistakes},
    daemon::state::shared::Shared,
    domain::text::{duration, redact::redacted},
    service::{check_owner, notify},
    store::{ConnectOptions, Store},
    telemetry::LogControl,
};

/// Reads the configuration anew.
pub type Loader = Box<dyn Fn() -> Result<Config, Mistakes> + Send + Sync>;

/// Is rung when the files of the configuration have changed.
pub(in crate::daemon) const BELL: &str = "reload";

/// What a reload works with.
pub(in crate::daemon) struct Reloader<'a> {
    pub(in crate::daemon) shared: &'a Shared,
    pub(in crate::daemon) loader: &'a Loader,
    pub(in crate::daemon) desk: &'a DaemonStatus,
    pub(in crate::daemon) log: &'a LogControl,
    /// With what the daemon began.
    pub(in crate::daemon) first: &'a Config,
}

impl Reloader<'_> {
    /// Puts a changed configuration in force, and says what it changes. With a mistake in it, the old one stays, whole.
    pub(in crate::daemon) fn reload(&self) -> Result<Value, String> {
        self.read(true)
    }

    /// The same, unasked: what is no news is not told again.
    pub(in crate::daemon) fn files_changed(&self) {
        let _ = self.read(false);
    }

    fn read(&self, is_asked: bool) -> Result<Value, String> {
        notify::reloading();
        let result = match (self.loader)() {
            Err(mistakes) => Err(refused(self.desk, &mistakes.to_string(), is_asked)),
            Ok(new) => Ok(self.put_in_force(new, is_asked)),
        };
        notify::ready(&self.desk.status_line());
        result
    }

    fn put_in_force(&self, new: Config, is_asked: bool) -> Value {
        let diff = ConfigDiff::between(&self.shared.config(), &new);
        let told = diff.to_string();
        let is_news = is_asked || !diff.is_empty();
        if is_news {
            tracing::info!("the configuration is reloaded: {told}");
        }
        // Compared with what is in force, and not with what was read last: it stays true until the next start.
        let needs_restart = ConfigDiff::between(self.first, &new).needs_restart;
        if !needs_restart.is_empty() && is_news {
            tracing::warn!("changed, but not before the next start: {}", needs_restart.join(", "));
        }
        let answer = json!({ "changed": told, "needs_restart": needs_restart });
        self.desk.note_needs_restart(&needs_restart);
        set_log_levels(self.log, &new);
        self.shared.set_config(new);
        self.shared.reconfigure();
        self.desk.note_config(redacted(&self.shared.connect.url));
        answer
    }
}

/// Gives the modules the levels in the log that the configuration says.
pub(in crate::daemon) fn set_log_levels(log: &LogControl, config: &Config) {
    let levels = config.modules.iter().filter_map(|(name, module)| {
        // A word that is no level was refused with the configuration.
        Some((name.clone(), module.log.as_ref()?.parse().ok()?))
    });
    log.set_module_levels(levels.collect());
}

/// Reads the configuration anew while the daemon is not up yet: all of it counts, but for what has begun by then, which is
/// the door and the log.
pub(in crate::daemon) fn before_up(config: &mut Config, loader: &Loader, desk: &DaemonStatus) -> Result<Value, String> {
    let new = loader().map_err(|mistakes| refused(desk, &mistakes.to_string(), true))?;
    // What would end the daemon is not let in.
    let refuse = |problem: String| Err(refused(desk, &problem, true));
    if let Err(error) = Store::connect(&ConnectOptions::new(new.database.url.clone())) {
        return refuse(error.to_string());
    }
    if let Err(error) = check_owner(&new.daemon.state_dir) {
        return refuse(format!("daemon.state_dir: {error}"));
    }
    let told = ConfigDiff::between(config, &new).to_string();
    tracing::info!("the configuration is reloaded: {told}");
    let (run_dir, log_dir) = (config.daemon.run_dir.clone(), config.daemon.log_dir.clone());
    let in_force = Config {
        daemon: DaemonConfig { run_dir, log_dir, ..new.daemon.clone() },
        log: config.log.clone(),
        ..new.clone()
    };
    let needs_restart = ConfigDiff::between(&in_force, &new).needs_restart;
    desk.note_config(redacted(&new.database.url));
    desk.note_needs_restart(&needs_restart);
    desk.note_first(Arc::new(in_force.clone()));
    *config = in_force;
    Ok(json!({ "changed": told, "needs_restart": needs_restart }))
}

/// A configuration with mistakes: tells of them, once.
fn refused(desk: &DaemonStatus, text: &str, is_asked: bool) -> String {
    if desk.note_mistakes(text) || is_asked {
        tracing::error!("the configuration is not reloaded, and the old one stays in force:\n{text}");
    }
    text.to_owned()
}

/// Tells what runs.
pub(in crate::daemon) fn tell(shared: &Shared) {
    let counts = shared.hand.counts();
    tracing::info!("{} running, {} claimed, {} to be recorded", counts.running, counts.waiting, counts.finished);
    for running in shared.hand.running() {
        let task = running.task;
        tracing::info!(
            task.id = task.claim.task_id,
            task.attempt,
            "{} in queue {} for {}",
            task.name,
            task.queue,
            duration::short(running.since.as_millis() as i64)
        );
    }
}
