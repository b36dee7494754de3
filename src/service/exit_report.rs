//! The exit report of a daemon, which it leaves in the run directory for the process that stopped it.

use std::{
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use serde::{Deserialize, Serialize};

use super::rundir::RunDir;
use crate::files::own_file;

const FILE: &str = "ending.json";

/// What a daemon leaves behind; written by the daemon, and completed by its process supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// Process id of the daemon.
    pub pid: i32,
    /// Tasks that were interrupted and released.
    pub interrupted: Vec<Interrupted>,
    /// Number of commands that continue without a daemon. The next daemon adopts them.
    pub left: usize,
    /// Processes that were killed because they did not stop in time.
    pub killed: Vec<i32>,
}

/// A task that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupted {
    /// The task.
    pub id: i64,
    /// Name of its definition.
    pub name: String,
}

impl RunDir {
    /// Writes the exit report.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_ending(&self, ending: &ExitReport) -> io::Result<()> {
        self.write(FILE, ending)
    }

    /// Removes the exit report of an earlier daemon.
    pub fn clear_ending(&self) {
        self.remove(FILE);
    }

    /// The exit report of the daemon with that process id, if it has written one.
    pub fn ending(&self, pid: i32) -> Option<ExitReport> {
        self.read::<ExitReport>(FILE).filter(|ending| ending.pid == pid)
    }

    /// Replaces a file atomically.
    pub(super) fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let new = self.file(&format!(".{name}.{}", std::process::id()));
        let mut file = own_file().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        std::fs::rename(&new, self.file(name))
    }

    pub(super) fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.file(name)).ok()?).ok()
    }

    pub(super) fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.file(name));
    }
}
