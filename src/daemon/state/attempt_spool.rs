//! The spool: finished attempts on disk while the database does not answer.
//!
//! A file is one batch: written under a temporary name, flushed to the disk and renamed, so that it is complete or
//! missing. The daemon that finds it records it. The fence decides whether it still counts, and recording it twice does
//! no harm.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use crate::{daemon::inflight::InFlight, domain::task::FinishedAttempt};

/// Maximum number of attempts in one file.
const MAX_BATCH: usize = 500;

/// The directory of waiting batches. They hold payloads and output, so that only the owner may read them.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// The spool in that directory, which need not exist yet.
    pub(in crate::daemon) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Moves all finished attempts that are in flight to disk. If that fails, they stay in memory.
    pub(in crate::daemon) fn keep_finished(&self, in_flight: &InFlight) {
        loop {
            let batch = in_flight.take_finished(MAX_BATCH);
            if batch.attempts().is_empty() {
                return;
            }
            match self.write(batch.attempts()) {
                Ok(path) => batch.spooled(path),
                Err(error) => {
                    let dir = self.dir.display();
                    return tracing::error!(
                        "cannot keep finished attempts in {dir}: {error}; they stay in memory, and are lost if the daemon \
                         ends before the database answers"
                    );
                }
            }
        }
    }

    /// Writes a batch.
    pub(in crate::daemon) fn write(&self, batch: &[FinishedAttempt]) -> io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let name = format!("{}.json", uuid::Uuid::now_v7());
        let (temporary, path) = (self.dir.join(format!("{name}.new")), self.dir.join(name));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(batch)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(path)
    }

    /// The waiting batches, the oldest first.
    pub(in crate::daemon) fn waiting(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files
    }

    /// Reads a batch. A damaged one is renamed to `.damaged`, and logged.
    pub(in crate::daemon) fn read(&self, path: &Path) -> Option<Vec<FinishedAttempt>> {
        let batch = fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        batch
            .map_err(|error| {
                tracing::error!("{} is damaged and renamed to .damaged: {error}", path.display());
                let _ = fs::rename(path, path.with_extension("damaged"));
            })
            .ok()
    }

    /// Removes damaged and incomplete batches that were last changed before `since`.
    pub(in crate::daemon) fn clean(&self, since: DateTime<Utc>) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_waiting = path.extension().is_some_and(|extension| extension == "json");
            let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
            if !is_waiting && changed.is_ok_and(|changed| DateTime::<Utc>::from(changed) < since) {
                self.remove(&path);
            }
        }
    }

    /// Removes a recorded batch.
    pub(in crate::daemon) fn remove(&self, path: &Path) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::machine_time;

    #[test]
    fn waiting_batches_stay_and_old_damaged_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"));
        let path = spool.write(&[]).unwrap();
        let damaged = path.with_extension("damaged");
        fs::write(&damaged, "half a batch").unwrap();
        spool.clean(machine_time() - chrono::TimeDelta::days(7));
        assert!(damaged.exists(), "it is young");
        spool.clean(machine_time() + chrono::TimeDelta::seconds(1));
        assert!(!damaged.exists());
        assert_eq!(spool.waiting(), [path]);
    }
}
