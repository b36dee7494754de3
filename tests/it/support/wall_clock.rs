//! A host whose wall clock the test sets, while its monotonic clock continues: the binary with a small library of C.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use chrono::{DateTime, TimeDelta, Utc};
use sexton::clock::machine_time;

use super::preload;

/// The wall clock of a simulated host.
pub(crate) struct WallClock {
    library: PathBuf,
    /// The microseconds that the clock is ahead of the machine's.
    file: PathBuf,
}

impl WallClock {
    /// A clock that begins at `at` and continues. Its files are in the directory.
    pub(crate) fn new(folder: &Path, at: DateTime<Utc>) -> Self {
        let name = format!("wall_clock_{}", uuid::Uuid::new_v4().simple());
        let clock = Self {
            library: preload::library(folder, &name, include_str!("wall_clock.c")),
            file: folder.join(name).with_extension("ahead"),
        };
        fs::write(&clock.file, [0; 8]).unwrap();
        clock.set(at);
        clock
    }

    /// Sets the clock, also for running programs.
    pub(crate) fn set(&self, at: DateTime<Utc>) {
        let ahead = (at - machine_time()).num_microseconds().unwrap();
        // In place, because the programs have the file in memory.
        File::options().write(true).open(&self.file).unwrap().write_all_at(&ahead.to_ne_bytes(), 0).unwrap();
    }

    /// The present time of the clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let ahead = fs::read(&self.file).unwrap().try_into().unwrap();
        machine_time() + TimeDelta::microseconds(i64::from_ne_bytes(ahead))
    }

    /// Makes a program use the clock when it is started.
    pub(crate) fn govern(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("WALL_CLOCK", &self.file);
    }
}
