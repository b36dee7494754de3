//! The spool: finished attempts on disk while the database does not answer.
//!
//! A file is one batch: written under a temporary name, flushed to the disk and renamed, so that it is complete or
//! missing. The daemon that finds it records it. The claim decides whether it still counts, and recording it twice does
//! no harm. Attempts of another database are put aside in the directory `foreign`.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::foreign::ForeignLeftovers;
use crate::{
    daemon::inflight::InFlight,
    domain::{identity::DatabaseId, task::FinishedAttempt},
};

/// Maximum number of attempts in one file.
const MAX_BATCH: usize = 500;

/// The directory, below that of the spool, of batches of another database.
const FOREIGN: &str = "foreign";

/// The directory of waiting batches. They hold payloads and output, so that only the owner may read them.
#[derive(Clone)]
pub(in crate::daemon) struct Spool {
    dir: PathBuf,
    foreign: ForeignLeftovers,
}

/// An attempt as it is written, with the database that it is of.
#[derive(Serialize)]
struct Spooled<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a DatabaseId>,
    #[serde(flatten)]
    attempt: &'a FinishedAttempt,
}

/// The database that an attempt is of. Earlier versions did not write it.
#[derive(Deserialize)]
struct SpooledFrom {
    database: Option<DatabaseId>,
}

impl Spool {
    /// The spool in that directory, which need not exist yet.
    pub(in crate::daemon) fn new(dir: PathBuf, foreign: ForeignLeftovers) -> Self {
        Self { dir, foreign }
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
        let database = self.foreign.own();
        let spooled: Vec<Spooled<'_>> = batch.iter().map(|attempt| Spooled { database, attempt }).collect();
        file.write_all(&serde_json::to_vec(&spooled)?)?;
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

    /// Puts the batches of another database aside, where no daemon records them, and reports each once.
    pub(in crate::daemon) fn put_foreign_aside(&self) {
        let aside = self.dir.join(FOREIGN);
        for path in self.waiting() {
            let Some(database) = self.origin(&path) else { continue };
            let Some(of) = self.foreign.other(Some(&database)) else { continue };
            let moved = DirBuilder::new().recursive(true).mode(0o700).create(&aside);
            let place = aside.join(path.file_name().unwrap_or_default());
            match moved.and_then(|()| fs::rename(&path, &place)) {
                Ok(()) => self.foreign.report(&place, of, "its finished attempts are put aside here, and not recorded"),
                Err(error) => tracing::error!("cannot move {} to {}: {error}", path.display(), aside.display()),
            }
        }
        for put_aside in fs::read_dir(&aside).into_iter().flatten().flatten() {
            self.foreign.note(&put_aside.path());
        }
    }

    /// Whether a batch is of this database, or of an earlier version, which did not write it.
    pub(in crate::daemon) fn is_own(&self, path: &Path) -> bool {
        self.origin(path).is_none_or(|origin| self.foreign.other(Some(&origin)).is_none())
    }

    /// The database of a batch. All of its attempts are of one daemon.
    fn origin(&self, path: &Path) -> Option<DatabaseId> {
        let bytes = fs::read(path).ok()?;
        let origins: Vec<SpooledFrom> = match bytes.first() {
            Some(b'[') => serde_json::from_slice(&bytes).ok()?,
            _ => serde_json::Deserializer::from_slice(&bytes).into_iter().map_while(Result::ok).collect(),
        };
        origins.into_iter().find_map(|origin| origin.database)
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
    use crate::{clock::machine_time, domain::task::ClaimedTask};

    #[test]
    fn waiting_batches_stay_and_old_damaged_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"), ForeignLeftovers::default());
        let path = spool.write(&[]).unwrap();
        let damaged = path.with_extension("damaged");
        fs::write(&damaged, "half a batch").unwrap();
        spool.clean(machine_time() - chrono::TimeDelta::days(7));
        assert!(damaged.exists(), "it is young");
        spool.clean(machine_time() + chrono::TimeDelta::seconds(1));
        assert!(!damaged.exists());
        assert_eq!(spool.waiting(), [path]);
    }

    #[test]
    fn batches_of_another_database_are_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let spool_of = |database: Option<&str>| {
            Spool::new(folder.path().to_owned(), ForeignLeftovers::new(database.map(DatabaseId::from)))
        };
        let task = ClaimedTask::sample(1);
        let ended = task.interrupted(&"n".into(), None, "why", DateTime::UNIX_EPOCH, std::time::Duration::ZERO);
        let [old, own, other] =
            [None, Some("own"), Some("other")].map(|of| spool_of(of).write(std::slice::from_ref(&ended)).unwrap());
        // One attempt a line.
        let lines = folder.path().join("lines.json");
        fs::write(&lines, "{\"database\":\"third\"}\n{\"database\":\"third\"}\n").unwrap();
        let spool = spool_of(Some("own"));
        assert!([&old, &own].iter().all(|path| spool.is_own(path)) && !spool.is_own(&other));
        spool.put_foreign_aside();
        assert_eq!(spool.waiting(), [old, own.clone()]);
        assert_eq!(spool.read(&own), Some(vec![ended]));
        assert!(folder.path().join("foreign").join(other.file_name().unwrap()).exists());
        assert_eq!(spool.foreign.count(), 2);
        spool.clean(machine_time() + chrono::TimeDelta::seconds(1));
        assert_eq!(spool.foreign.count(), 2, "nothing foreign is deleted");
        let later = spool_of(Some("own"));
        later.put_foreign_aside();
        assert_eq!(later.foreign.count(), 2, "the next daemon counts them as well");
    }
}
