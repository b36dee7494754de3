//! A disk that fails: the binary with a small library of C that makes calls on its database file fail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::preload;

/// The failures of one program. Its database file has to be called `faulty.db`.
pub(crate) struct FaultyDisk {
    library: PathBuf,
    control: PathBuf,
}

impl FaultyDisk {
    /// A disk that is in order. Its files are in the directory.
    pub(crate) fn new(folder: &Path) -> Self {
        let library = preload::library(folder, "faulty_disk", include_str!("faulty_disk.c"));
        Self { library, control: folder.join("faults") }
    }

    /// Makes a program use the disk when it is started.
    pub(crate) fn govern(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAULTY_DISK", &self.control);
    }

    /// From now on each so-many-th call fails with that error.
    pub(crate) fn fail(&self, errno: i32, every: usize) {
        let fresh = self.control.with_extension("new");
        fs::write(&fresh, format!("{errno} {every}")).unwrap();
        fs::rename(fresh, &self.control).unwrap();
    }

    /// From now on it is in order.
    pub(crate) fn heal(&self) {
        fs::remove_file(&self.control).unwrap();
    }

    /// How many calls have failed.
    pub(crate) fn failed(&self) -> u64 {
        fs::metadata(self.control.with_extension("hits")).map_or(0, |file| file.len())
    }
}
