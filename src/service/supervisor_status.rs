//! The status of a process supervisor, in a file in the run directory.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rundir::{Role, RunDir};

const FILE: &str = "supervisor.json";

/// The status of a process supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorStatus {
    /// Process id of the supervisor.
    pub pid: i32,
    /// What it is doing.
    #[serde(alias = "doing")]
    pub state: SupervisorState,
    /// Number of failures of the daemon since the supervisor's start.
    #[serde(alias = "falls")]
    pub failures: u64,
    /// The latest failure, in words.
    #[serde(alias = "last_fall")]
    pub last_failure: Option<String>,
    /// The time of the latest failure.
    #[serde(alias = "last_fall_at")]
    pub last_failure_at: Option<DateTime<Utc>>,
}

/// What a process supervisor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupervisorState {
    /// The daemon was started, and is not ready yet.
    Starting,
    /// The daemon is ready.
    Watching,
    /// The daemon failed, and is restarted after a delay.
    Waiting,
    /// The supervisor was asked to stop.
    Stopping,
}

impl SupervisorStatus {
    /// The status at the start of a supervisor.
    pub(super) fn starting(pid: i32) -> Self {
        Self { pid, state: SupervisorState::Starting, failures: 0, last_failure: None, last_failure_at: None }
    }
}

impl RunDir {
    pub(super) fn set_status(&self, status: &SupervisorStatus) -> std::io::Result<()> {
        self.write(FILE, status)
    }

    pub(super) fn clear_status(&self) {
        self.remove(FILE);
    }

    /// The status of the process supervisor; none if none is running.
    ///
    /// # Errors
    /// If the lock file of the supervisor cannot be read.
    pub fn supervisor_status(&self) -> std::io::Result<Option<SupervisorStatus>> {
        let Some(holder) = self.holder(Role::Supervisor)? else { return Ok(None) };
        let written = self.read::<SupervisorStatus>(FILE).filter(|status| status.pid == holder.pid);
        Ok(Some(written.unwrap_or(SupervisorStatus::starting(holder.pid))))
    }
}
