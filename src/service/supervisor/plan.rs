//! What a process supervisor is given, and what it reports to `sexton start`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What `ps` shows of a daemon, before its arguments.
pub const DAEMON_TITLE: &str = "sexton: daemon";

/// What a process supervisor needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorPlan {
    /// The run directory.
    pub run_dir: PathBuf,
    /// Where it writes what it did.
    pub log: PathBuf,
    /// The program that is the daemon.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// A daemon without a sign of life for so long is killed.
    pub watchdog: Duration,
    /// How long a daemon that was told to stop may take.
    pub stop_timeout: Duration,
    /// The same, if it is to hurry.
    pub force_timeout: Duration,
}

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Started {
    /// The daemon is ready.
    Ready {
        /// Its process.
        pid: i32,
        /// How it does, in its own words.
        status: String,
    },
    /// There is a process supervisor already.
    AlreadyThere {
        /// Its process.
        pid: i32,
    },
    /// The daemon did not come up, and nothing is left of it.
    Failed {
        /// Why.
        why: String,
        /// Its exit code, if it ended by itself.
        code: Option<i32>,
    },
}

/// Says to `start` what came of it. Nobody is there to hear anything after that.
pub(super) fn report(started: &Started) {
    let mut stdout = io::stdout();
    let _ = serde_json::to_writer(&mut stdout, started).map(|()| writeln!(stdout)).map(|_| stdout.flush());
}
