//! The log of a process supervisor: few lines in a file of its own.

use std::{
    fs::DirBuilder,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use crate::{clock::machine_time, files::own_file};

/// A file beyond this number of bytes is renamed, and replaces the one before it.
const LIMIT: u64 = 1 << 20;

/// The log of a process supervisor.
#[derive(Debug)]
pub(super) struct SupervisorLog {
    path: PathBuf,
}

impl SupervisorLog {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes a line. A line that cannot be written, for example on a full disk, is lost.
    pub(super) fn write(&self, level: &str, text: &str) {
        let at = machine_time().format("%Y-%m-%d %H:%M:%S%.3fZ");
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() > LIMIT) {
            let _ = std::fs::rename(&self.path, self.path.with_extension("log.1"));
        }
        if let Some(directory) = self.path.parent() {
            let _ = DirBuilder::new().recursive(true).mode(0o750).create(directory);
        }
        let file = own_file().create(true).append(true).mode(0o640).open(&self.path);
        let _ = file.and_then(|mut file| writeln!(file, "{at} {level:>5} supervisor: {text}"));
    }
}
