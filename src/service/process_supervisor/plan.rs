//! The input of a process supervisor, and its report to `sexton start`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::service::rundir::RunDir;

/// The title of a daemon in `ps`, before its arguments.
pub const DAEMON_TITLE: &str = "sexton: daemon";

/// The input of a process supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorPlan {
    /// The run directory.
    pub run_dir: PathBuf,
    /// The log file of the process supervisor.
    pub log: PathBuf,
    /// The program of the daemon.
    pub program: PathBuf,
    /// The arguments of the daemon.
    pub arguments: Vec<String>,
    /// A daemon that is silent for this long is killed.
    pub watchdog: Duration,
    /// How long running tasks may take after a stop.
    pub stop_timeout: Duration,
    /// How long running tasks may take after a forced stop.
    pub force_timeout: Duration,
    /// Process id of a running daemon that has lost its process supervisor, to be watched instead of a new one.
    #[serde(default)]
    pub adopt: Option<i32>,
}

impl SupervisorPlan {
    /// The same for a running daemon, in its own run directory.
    #[must_use]
    pub fn adopting(self, pid: i32, run: &RunDir) -> Self {
        Self { run_dir: run.path().to_owned(), adopt: Some(pid), ..self }
    }
}

/// The result of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Started {
    /// The daemon is ready.
    Ready {
        /// Process id of the daemon.
        pid: i32,
        /// Status line of the daemon.
        status: String,
    },
    /// Another process supervisor is running.
    AlreadyThere {
        /// Process id of the other supervisor.
        pid: i32,
    },
    /// The daemon did not start, and no process is left.
    Failed {
        /// The reason.
        why: String,
        /// Exit code of the daemon, if it ended by itself.
        code: Option<i32>,
    },
}

/// Reports the result to `start`, which reads one line.
pub(super) fn report(started: &Started) {
    let mut stdout = io::stdout();
    let _ = serde_json::to_writer(&mut stdout, started).map(|()| writeln!(stdout)).map(|_| stdout.flush());
}
