//! How a daemon ended: left in the run directory for whoever has asked it to.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use serde::{Deserialize, Serialize};

use super::rundir::RunDir;

const FILE: &str = "ending.json";

/// The last words of a daemon, or of the process supervisor about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// Whose.
    pub pid: i32,
    /// Tasks that had to be ended before they were done; they were given back.
    pub interrupted: Vec<Interrupted>,
    /// Commands that go on without a daemon; the next one takes them over.
    pub left: usize,
    /// Processes that had to be killed because they did not end by themselves.
    pub killed: Vec<i32>,
}

/// A task that was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupted {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
}

impl RunDir {
    /// Leaves the last words.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_ending(&self, ending: &ExitReport) -> io::Result<()> {
        self.write(FILE, ending)
    }

    /// The last words of that process, if it has left any.
    pub fn ending(&self, pid: i32) -> Option<ExitReport> {
        self.read::<ExitReport>(FILE).filter(|ending| ending.pid == pid)
    }

    /// Writes a file as a whole or not at all.
    pub(super) fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let new = self.file(&format!(".{name}.{}", std::process::id()));
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
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
