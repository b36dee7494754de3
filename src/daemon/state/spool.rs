//! Finished attempts on disk, while the database is away.
//!
//! A file is one batch: written to a temporary name, flushed to the disk and renamed, so that it is whole or
//! not there. Whoever finds one records it; the fence decides whether it still counts, and recording it twice
//! does no harm.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use crate::domain::task::FinishedAttempt;

/// The folder of waiting batches. They hold payloads and output: nobody else may read them.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The spool in that folder, which need not be there yet.
    pub(in crate::daemon) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a batch.
    pub(in crate::daemon) fn write(&self, batch: &[FinishedAttempt]) -> io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let name = format!("{}.json", uuid::Uuid::now_v7());
        let (temporary, path) = (self.folder.join(format!("{name}.new")), self.folder.join(name));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(batch)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(path)
    }

    /// The waiting batches, the oldest first.
    pub(in crate::daemon) fn waiting(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files
    }

    /// Reads a batch. A damaged one is put aside, and told.
    pub(in crate::daemon) fn read(&self, path: &Path) -> Option<Vec<FinishedAttempt>> {
        let batch = fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        batch
            .map_err(|error| {
                tracing::error!("{} cannot be read and is put aside: {error}", path.display());
                let _ = fs::rename(path, path.with_extension("damaged"));
            })
            .ok()
    }

    /// Removes what is of no use any more (damaged batches, half-written ones) and was not touched since.
    pub(in crate::daemon) fn clean(&self, since: DateTime<Utc>) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_waiting = path.extension().is_some_and(|extension| extension == "json");
            let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
            if !is_waiting && changed.is_ok_and(|changed| DateTime::<Utc>::from(changed) < since) {
                self.remove(&path);
            }
        }
    }

    /// Removes a batch that is recorded.
    pub(in crate::daemon) fn remove(&self, path: &Path) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::machine_time;

    #[test]
    fn what_waits_stays_and_what_is_useless_goes() {
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
