//! A host whose wall clock the test sets, while its monotonic clock continues: the binary under libfaketime.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use chrono::{DateTime, TimeDelta, Utc};
use sexton::clock::machine_time;

/// The wall clock of a simulated host.
pub(crate) struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A clock that begins at `at` and continues. Its file is in the directory.
    pub(crate) fn new(folder: &Path, at: DateTime<Utc>) -> Self {
        let clock = Self { library: library(), file: folder.join(format!("{}.clock", uuid::Uuid::new_v4().simple())) };
        clock.set(at);
        remove_leftovers();
        clock
    }

    /// Sets the clock, also for running programs.
    pub(crate) fn set(&self, at: DateTime<Utc>) {
        let ahead = (at - machine_time()).num_microseconds().unwrap() as f64 / 1e6;
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{ahead:+.6}\n")).unwrap();
        // Atomically, so that no program reads half a time.
        fs::rename(fresh, &self.file).unwrap();
    }

    /// The present time of the clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let ahead: f64 = fs::read_to_string(&self.file).unwrap().trim().parse().unwrap();
        machine_time() + TimeDelta::microseconds((ahead * 1e6) as i64)
    }

    /// Makes a program use the clock when it is started.
    pub(crate) fn govern(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // The times of files are not affected.
            .env("NO_FAKE_STAT", "1");
    }
}

/// Removes the semaphores and the shared memory that libfaketime made for processes which were killed. Their names are process
/// numbers: a later process with the same number and another user could not start.
fn remove_leftovers() {
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = ["sem.faketime_sem_", "faketime_shm_"].iter().find_map(|before| name.strip_prefix(before));
        if number.is_some_and(|number| !Path::new("/proc").join(number).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).filter(|file| file.exists());
    found.next().unwrap_or_else(|| {
        panic!("there is no /usr/lib/*/faketime/libfaketimeMT.so.1: install it with `apt-get install faketime`")
    })
}
