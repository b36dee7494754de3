//! What a process supervisor is doing, as it has written down.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rundir::{Role, RunDir};

const FILE: &str = "supervisor.json";

/// A process supervisor, as far as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its process.
    pub pid: i32,
    /// What it is doing.
    pub doing: SupervisorState,
    /// How often the daemon fell since the supervisor's start.
    pub falls: u64,
    /// How it fell the last time.
    pub last_fall: Option<String>,
    /// When it fell the last time.
    pub last_fall_at: Option<DateTime<Utc>>,
}

/// What a process supervisor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupervisorState {
    /// The daemon was started, and is not ready yet.
    Starting,
    /// The daemon is ready.
    Watching,
    /// The daemon fell, and is started again in a moment.
    Waiting,
    /// It was told to stop.
    Stopping,
}

impl RunDir {
    pub(super) fn set_state(&self, state: &State) -> std::io::Result<()> {
        self.write(FILE, state)
    }

    pub(super) fn clear_state(&self) {
        self.remove(FILE);
    }

    /// What the process supervisor is doing; none without one.
    ///
    /// # Errors
    /// If it cannot be found out whether there is one.
    pub fn state(&self) -> std::io::Result<Option<State>> {
        let Some(holder) = self.holder(Role::Supervisor)? else { return Ok(None) };
        let unknown =
            State { pid: holder.pid, doing: SupervisorState::Starting, falls: 0, last_fall: None, last_fall_at: None };
        Ok(Some(self.read::<State>(FILE).filter(|state| state.pid == holder.pid).unwrap_or(unknown)))
    }
}
