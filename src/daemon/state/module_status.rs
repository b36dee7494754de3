//! The notice board: what each module does, for `module list`, the summary and the heartbeat.

use std::{collections::BTreeMap, fmt, sync::Arc};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::domain::daemon::summary::SummaryTable;

/// What a module does at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// Not up yet.
    #[default]
    Starting,
    /// At work, or resting between rounds.
    Running,
    /// The database does not answer.
    WaitingForDatabase,
    /// It fell, and will be started again in a moment.
    #[serde(rename = "failed", alias = "fallen")]
    Fallen,
    /// It was told to stop, and has.
    Stopped,
    /// The configuration says that it is not to run.
    Disabled,
}

impl ModuleState {
    /// Whether nothing of the module is at work, and nothing will be by itself.
    pub fn is_at_rest(self) -> bool {
        matches!(self, Self::Stopped | Self::Disabled)
    }
}

impl fmt::Display for ModuleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::WaitingForDatabase => "waiting for database",
            Self::Fallen => "failed",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
        })
    }
}

/// One module on the board.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: ModuleState,
    /// How often it fell since the daemon's start.
    #[serde(rename = "failures", alias = "falls")]
    pub falls: u64,
    /// How often it was replaced in good order.
    #[serde(rename = "recycled", alias = "discards")]
    pub discards: u64,
    /// Its rounds since it was last started.
    pub rounds: u64,
    /// When it was last started.
    pub started_at: Option<DateTime<Utc>>,
    /// Why it fell last, or what it waits for.
    pub last_error: Option<String>,
    /// What its start waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// What it tells of itself.
    pub summary: Vec<SummaryTable>,
}

/// All modules, by name. Clones share one board.
#[derive(Clone, Default)]
pub struct ModuleStatuses {
    modules: Arc<Mutex<BTreeMap<String, ModuleStatus>>>,
}

impl ModuleStatuses {
    /// Changes what the board says of a module.
    pub fn note(&self, name: &str, change: impl FnOnce(&mut ModuleStatus)) {
        let mut modules = self.modules.lock();
        let status = modules.entry(name.to_owned()).or_default();
        if status.name.is_empty() {
            status.name = name.to_owned();
        }
        change(status);
    }

    /// Takes a module off the board.
    pub(in crate::daemon) fn remove(&self, name: &str) {
        self.modules.lock().remove(name);
    }

    /// What the board says.
    pub fn read(&self) -> Vec<ModuleStatus> {
        self.modules.lock().values().cloned().collect()
    }

    /// The modules that are not at work, and why.
    pub fn ailing(&self) -> Vec<String> {
        self.read().iter().filter_map(ailment).collect()
    }

    /// What the board says of one module.
    pub fn of(&self, name: &str) -> Option<ModuleStatus> {
        self.modules.lock().get(name).cloned()
    }
}

/// Why a module is not at work, in words; none if it is.
fn ailment(module: &ModuleStatus) -> Option<String> {
    let name = &module.name;
    let why = module.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    match module.state {
        ModuleState::Fallen => Some(format!("{name} fell{why}")),
        ModuleState::WaitingForDatabase => Some(format!("{name} waits for the database{why}")),
        ModuleState::Starting => module.waits_for.as_ref().map(|why| format!("{name} is not started: {why}")),
        ModuleState::Running | ModuleState::Stopped | ModuleState::Disabled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_started_is_named_with_its_reason() {
        let board = ModuleStatuses::default();
        board.note("new", |_| {});
        board.note("it", |status| status.waits_for = Some("its check failed".to_owned()));
        assert_eq!(board.ailing(), ["it is not started: its check failed"]);
        board.note("it", |status| status.state = ModuleState::Running);
        assert!(board.ailing().is_empty());
    }
}
