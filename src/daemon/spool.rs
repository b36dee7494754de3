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

use crate::domain::task::FinishedAttempt;

/// The folder of waiting batches. They hold payloads and output: nobody else may read them.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The spool in that folder, which need not be there yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a batch.
    pub(super) fn write(&self, batch: &[FinishedAttempt]) -> io::Result<PathBuf> {
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
    pub(super) fn waiting(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files
    }

    /// Reads a batch. A damaged one is put aside, and told.
    pub(super) fn read(&self, path: &Path) -> Option<Vec<FinishedAttempt>> {
        let batch = fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        batch
            .map_err(|error| {
                tracing::error!("{} cannot be read and is put aside: {error}", path.display());
                let _ = fs::rename(path, path.with_extension("damaged"));
            })
            .ok()
    }

    /// Removes a batch that is recorded.
    pub(super) fn remove(&self, path: &Path) {
        let _ = fs::remove_file(path);
    }
}
