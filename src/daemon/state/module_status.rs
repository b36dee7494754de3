//! The status of each daemon module, for `module list`, the summary and the heartbeat.

use std::{collections::BTreeMap, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::domain::{daemon::summary::SummaryTable, identity::ModuleName};

/// What a module does at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// It is being started, and has not completed a round.
    #[default]
    Starting,
    /// At work, or resting between rounds.
    Running,
    /// The database does not answer.
    WaitingForDatabase,
    /// It failed, and is restarted after a delay.
    Failed,
    /// It was asked to stop, and has stopped.
    Stopped,
    /// The configuration disables it.
    Disabled,
}

impl ModuleState {
    /// Whether the module neither runs nor is restarted by itself.
    pub fn has_stopped(self) -> bool {
        matches!(self, Self::Stopped | Self::Disabled)
    }
}

impl fmt::Display for ModuleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::WaitingForDatabase => "waiting for database",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
        })
    }
}

/// The status of one module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// Unique name, as in `[module.NAME]`.
    pub name: String,
    /// What it does now.
    pub state: ModuleState,
    /// How often it failed since the daemon's start.
    pub failures: u64,
    /// How often it was recycled since the daemon's start.
    pub recycled: u64,
    /// Rounds that it completed since it was last started.
    pub rounds: u64,
    /// When it was last started.
    pub started_at: Option<DateTime<Utc>>,
    /// The cause of its last failure, or of the outage that it waits for.
    pub last_error: Option<String>,
    /// For a process module: why its program is not started now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Its tables for `sexton summary`.
    pub summary: Vec<SummaryTable>,
}

/// The statuses of all modules, by name. Clones share them.
#[derive(Clone, Default)]
pub struct ModuleStatuses {
    modules: Arc<Mutex<BTreeMap<ModuleName, ModuleStatus>>>,
}

impl ModuleStatuses {
    /// Changes the status of a module, which need not have one yet.
    pub fn update(&self, name: &ModuleName, change: impl FnOnce(&mut ModuleStatus)) {
        let mut modules = self.modules.lock();
        let status = modules.entry(name.clone()).or_default();
        if status.name.is_empty() {
            status.name = name.to_string();
        }
        change(status);
    }

    /// Removes the status of a module that does not exist any more.
    pub(in crate::daemon) fn remove(&self, name: &ModuleName) {
        self.modules.lock().remove(name);
    }

    /// All statuses, by name.
    pub fn all(&self) -> Vec<ModuleStatus> {
        self.modules.lock().values().cloned().collect()
    }

    /// A sentence for each module that does not work, with the cause.
    pub fn unhealthy(&self) -> Vec<String> {
        self.all().iter().filter_map(ModuleStatus::trouble).collect()
    }

    /// The status of one module.
    pub fn get(&self, name: &str) -> Option<ModuleStatus> {
        self.modules.lock().get(name).cloned()
    }
}

impl ModuleStatus {
    /// Why the module does not work; none if it does.
    pub fn trouble(&self) -> Option<String> {
        let name = &self.name;
        let why = self.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        match self.state {
            ModuleState::Failed => Some(format!("{name} failed{why}")),
            ModuleState::WaitingForDatabase => Some(format!("{name} waits for the database{why}")),
            ModuleState::Starting => self.waits_for.as_ref().map(|why| format!("{name} is not started: {why}")),
            ModuleState::Running | ModuleState::Stopped | ModuleState::Disabled => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_not_started_is_named_with_the_reason() {
        let (statuses, it) = (ModuleStatuses::default(), ModuleName::from("it"));
        statuses.update(&"new".into(), |_| {});
        statuses.update(&it, |status| status.waits_for = Some("its check failed".to_owned()));
        assert_eq!(statuses.unhealthy(), ["it is not started: its check failed"]);
        statuses.update(&it, |status| status.state = ModuleState::Running);
        assert!(statuses.unhealthy().is_empty());
    }
}
