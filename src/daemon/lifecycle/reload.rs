//! Reload: reads the configuration again and puts it in force, or keeps the old one if the new one has a mistake.

use std::sync::Arc;

use serde_json::{Value, json};
use sexton_client::principal::Principal;
use sexton_entities::states::{AuditAction, AuditTarget, Via};

use super::{requests::Reply, status::DaemonStatus};
use crate::{
    config::{Config, ConfigDiff, DaemonConfig, DeployedChoice, Mistakes, keep_version},
    daemon::{components::Components, fault_point::fault_point, inflight::InFlight, state::wakers::WakeReason},
    domain::{
        deploy::SignedVersion,
        identity::ModuleName,
        text::{duration, redact::redacted},
    },
    service::{check_tree, notify},
    store::{ConnectOptions, Deed, Store},
    telemetry::LogControl,
};

/// Reads the configuration, with the version of it that is chosen.
pub type Loader = Box<dyn Fn(DeployedChoice) -> Result<Config, Mistakes> + Send + Sync>;

/// What a reload needs.
pub(in crate::daemon) struct Reloader<'a> {
    pub(in crate::daemon) daemon: &'a Components,
    pub(in crate::daemon) loader: &'a Loader,
    pub(in crate::daemon) status: &'a DaemonStatus,
    pub(in crate::daemon) log: &'a LogControl,
    /// The configuration with which the daemon started.
    pub(in crate::daemon) first: &'a Config,
}

impl Reloader<'_> {
    /// Puts the configuration in force as it is now, and returns what it changes. If it has a mistake, the whole old one
    /// stays in force.
    pub(in crate::daemon) fn reload(&self, by: &Principal) -> Result<Value, String> {
        self.read(Some(by))
    }

    /// The same without a request: only changes are logged and recorded.
    pub(in crate::daemon) fn files_changed(&self) {
        let _ = self.read(None);
    }

    fn read(&self, by: Option<&Principal>) -> Result<Value, String> {
        notify::reloading();
        let result = match (self.loader)(DeployedChoice::Kept) {
            Err(mistakes) => {
                self.daemon.in_force.note_refused(&mistakes.to_string());
                self.daemon.wakers.wake(&ModuleName::NOTIFIER, WakeReason::Requested);
                Err(refused(self.status, &mistakes.to_string(), by.is_some()))
            }
            Ok(new) => Ok(self.put_in_force(new, by)),
        };
        notify::ready(&self.status.line());
        result
    }

    /// Puts a deployed version in force together with the local files, and keeps it. If there is a mistake, nothing changes.
    pub(in crate::daemon) fn deploy(&self, version: Arc<SignedVersion>) -> Result<Value, String> {
        notify::reloading();
        let number = version.manifest.number;
        let loaded = (self.loader)(DeployedChoice::Candidate(version)).map_err(|mistakes| mistakes.to_string());
        let result = loaded.and_then(|new| {
            let version = new.deployed.clone().ok_or("[deploy] is not in the files any more")?;
            keep_version(&new.daemon.state_dir, &version)
                .map_err(|error| format!("it cannot be kept in the state directory: {error}"))?;
            fault_point("version kept");
            tracing::info!("version {number} of the configuration is in force, signed by {}", version.signer);
            Ok(self.put_in_force(new, None))
        });
        notify::ready(&self.status.line());
        result
    }

    fn put_in_force(&self, new: Config, by: Option<&Principal>) -> Value {
        let diff = ConfigDiff::between(&self.daemon.config(), &new);
        let changed = diff.to_string();
        let is_logged = by.is_some() || !diff.is_empty();
        if is_logged {
            tracing::info!("the configuration is reloaded: {changed}");
        }
        // Compared with the configuration of the start: it stays true until the next start.
        let needs_restart = ConfigDiff::between(self.first, &new).needs_restart;
        if !needs_restart.is_empty() && is_logged {
            tracing::warn!("changed, in effect from the next start on: {}", needs_restart.join(", "));
        }
        let answer = json!({ "changed": changed, "needs_restart": needs_restart });
        if is_logged {
            let deed = Deed::new(AuditAction::Reload, AuditTarget::Node, self.daemon.identity.name.as_str());
            let by = by.cloned().unwrap_or_else(|| Principal::unknown(Via::Daemon));
            self.daemon.audit.note(&by, deed.from_to(None, answer.clone()));
        }
        self.status.note_needs_restart(&needs_restart);
        set_log_levels(self.log, &new);
        self.daemon.set_config(new);
        self.daemon.wakers.wake(&ModuleName::NOTIFIER, WakeReason::Requested);
        self.status.note_config(redacted(&self.daemon.connect.url));
        answer
    }
}

/// A node stops claiming, or claims again.
pub(in crate::daemon) fn quiet_deed(node: &str, before: bool, quiet: bool) -> Deed {
    let action = if quiet { AuditAction::Quiet } else { AuditAction::Resume };
    Deed::new(action, AuditTarget::Node, node).from_to(json!({ "quiet": before }), json!({ "quiet": quiet }))
}

/// Applies the log levels of `[module.NAME]`.
pub(in crate::daemon) fn set_log_levels(log: &LogControl, config: &Config) {
    let levels = config.modules.iter().filter_map(|(name, module)| {
        // Other words were refused with the configuration.
        Some((name.clone(), module.log.as_ref()?.parse().ok()?))
    });
    log.set_module_levels(levels.collect());
}

/// Reloads before the modules run. All settings count but those in use by then: the run directory and the log.
pub(in crate::daemon) fn before_running(
    config: &mut Config,
    loader: &Loader,
    status: &DaemonStatus,
) -> Result<Value, String> {
    let new = loader(DeployedChoice::Kept).map_err(|mistakes| refused(status, &mistakes.to_string(), true))?;
    // Settings that would end the daemon are refused.
    let refuse = |problem: String| Err(refused(status, &problem, true));
    if let Err(error) = Store::connect(&ConnectOptions::new(new.database.url.clone())) {
        return refuse(error.to_string());
    }
    if let Err(error) = check_tree(&new.daemon.state_dir) {
        return refuse(format!("daemon.state_dir: {error}"));
    }
    let changed = ConfigDiff::between(config, &new).to_string();
    tracing::info!("the configuration is reloaded: {changed}");
    let (run_dir, log_dir) = (config.daemon.run_dir.clone(), config.daemon.log_dir.clone());
    let in_force = Config {
        daemon: DaemonConfig { run_dir, log_dir, ..new.daemon.clone() },
        log: config.log.clone(),
        ..new.clone()
    };
    let needs_restart = ConfigDiff::between(&in_force, &new).needs_restart;
    status.note_config(redacted(&new.database.url));
    status.note_needs_restart(&needs_restart);
    status.note_first(Arc::new(in_force.clone()));
    *config = in_force;
    Ok(json!({ "changed": changed, "needs_restart": needs_restart }))
}

/// A configuration with mistakes: logs them once.
fn refused(status: &DaemonStatus, text: &str, is_requested: bool) -> String {
    if status.note_mistakes(text) || is_requested {
        tracing::error!("the configuration is not reloaded, and the old one stays in force:\n{text}");
    }
    text.to_owned()
}

/// Answers a request to reload, if its sender waits for an answer.
pub(in crate::daemon) fn answer(reply: Option<Reply>, result: Result<Value, String>) {
    if let Some(reply) = reply {
        let _ = reply.send(result);
    }
}

/// Logs what runs.
pub(in crate::daemon) fn log_running(in_flight: &InFlight) {
    let counts = in_flight.counts();
    tracing::info!("{} running, {} claimed, {} to be recorded", counts.running, counts.waiting, counts.finished);
    for running in in_flight.running() {
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
