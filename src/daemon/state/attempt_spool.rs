//! The spool: finished attempts on disk while the database does not answer.
//!
//! A file is one batch: written under a temporary name, flushed to the disk and renamed, so that it is complete or
//! missing. It is a JSON array with one attempt on each line, so that a damaged line does not make the others unreadable.
//! The daemon that finds it records it. The claim decides whether it still counts, and recording it twice does no harm.
//! Attempts of another database are put aside in `foreign/`.
//!
//! `refused/` has what was put aside: attempts that the database refuses, and lines that are no attempt. A file of
//! refused attempts that is moved back into the spool is recorded by the next start.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::foreign_leftovers::ForeignLeftovers;
use crate::{
    daemon::inflight::InFlight,
    domain::{identity::DatabaseId, task::FinishedAttempt},
};

/// Maximum number of attempts in one file.
const MAX_BATCH: usize = 500;
/// That nothing can be written is said this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// The directory of what was put aside.
const REFUSED: &str = "refused";
/// The directory of batches of another database.
const FOREIGN: &str = "foreign";

/// The directory of waiting batches. They hold payloads and output, so that only the owner may read them.
#[derive(Clone)]
pub(in crate::daemon) struct Spool {
    dir: PathBuf,
    foreign: ForeignLeftovers,
    /// When it was last said that nothing can be written.
    failure_logged: Arc<Mutex<Option<Instant>>>,
}

/// An attempt as it is written, with the database that it is of.
#[derive(Serialize)]
struct SpooledAttempt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a DatabaseId>,
    /// Why it was put aside, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
    #[serde(flatten)]
    attempt: &'a FinishedAttempt,
}

/// The database that an attempt is of. Earlier versions did not write it.
#[derive(Deserialize)]
struct SpooledFrom {
    database: Option<DatabaseId>,
}

/// What is in a file of the spool.
#[derive(Debug, Default, PartialEq)]
pub(in crate::daemon) struct SpooledBatch {
    /// The attempts.
    pub(in crate::daemon) attempts: Vec<FinishedAttempt>,
    /// The lines that are no attempt, each with the reason.
    pub(in crate::daemon) damaged: Vec<(Vec<u8>, String)>,
    /// The database that the attempts are of. All of them are of one daemon.
    origin: Option<DatabaseId>,
}

impl Spool {
    /// The spool in that directory, which need not exist yet.
    pub(in crate::daemon) fn new(dir: PathBuf, foreign: ForeignLeftovers) -> Self {
        Self { dir, foreign, failure_logged: Arc::default() }
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
                    let mut logged = self.failure_logged.lock();
                    if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                        *logged = Some(Instant::now());
                        let dir = self.dir.display();
                        tracing::error!(
                            "cannot keep finished attempts in {dir}: {error}; they stay in memory, and are lost if the \
                             daemon ends before the database answers"
                        );
                    }
                    return;
                }
            }
        }
    }

    /// Writes a batch.
    pub(in crate::daemon) fn write(&self, batch: &[FinishedAttempt]) -> io::Result<PathBuf> {
        let database = self.foreign.own();
        let line = |attempt| serde_json::to_vec(&SpooledAttempt { database, refused: None, attempt });
        let lines = batch.iter().map(line).collect::<Result<Vec<_>, _>>()?;
        let text = [b"[\n", &*lines.join(&b",\n"[..]), b"\n]\n"].concat();
        store_file(&self.dir, &format!("{}.json", uuid::Uuid::now_v7()), &text)
    }

    /// Puts an attempt aside that the database refuses, with the reason. Returns its file.
    pub(in crate::daemon) fn refuse(&self, finished: &FinishedAttempt, why: &str) -> io::Result<PathBuf> {
        let spooled = SpooledAttempt { database: self.foreign.own(), refused: Some(why), attempt: finished };
        let attempt = serde_json::to_string(&spooled)?;
        // The same attempt has one file, however often it is refused.
        let name = format!("{}-{}.json", finished.claim, finished.finished_at.timestamp_micros());
        store_file(&self.dir.join(REFUSED), &name, format!("[\n{attempt}\n]\n").as_bytes())
    }

    /// Puts the lines of a file aside that are no attempts. Returns their file.
    pub(in crate::daemon) fn put_aside(&self, path: &Path, damaged: &[(Vec<u8>, String)]) -> io::Result<PathBuf> {
        let lines: Vec<&[u8]> = damaged.iter().map(|(line, _)| line.as_slice()).collect();
        let name = format!("{}.damaged", path.file_stem().unwrap_or_default().to_string_lossy());
        store_file(&self.dir.join(REFUSED), &name, &lines.join(&b'\n'))
    }

    /// The files of what was put aside.
    pub(in crate::daemon) fn refused(&self) -> Vec<PathBuf> {
        files(&self.dir.join(REFUSED))
    }

    /// The waiting batches, the oldest first.
    pub(in crate::daemon) fn waiting(&self) -> Vec<PathBuf> {
        let mut files = files(&self.dir);
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files
    }

    /// Reads a batch; none if another daemon has recorded it.
    ///
    /// # Errors
    /// If the file cannot be read now, such as for a lack of descriptors. That says nothing about what is in it.
    pub(in crate::daemon) fn read(&self, path: &Path) -> io::Result<Option<SpooledBatch>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(SpooledBatch::of(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
        for put_aside in files(&aside) {
            self.foreign.note(&put_aside);
        }
    }

    /// Whether a batch is of this database, or of an earlier version, which did not write it.
    pub(in crate::daemon) fn is_own(&self, path: &Path) -> bool {
        self.origin(path).is_none_or(|origin| self.foreign.other(Some(&origin)).is_none())
    }

    fn origin(&self, path: &Path) -> Option<DatabaseId> {
        self.read(path).ok()??.origin
    }

    /// Removes incomplete batches that were last changed before `since`, and damaged ones of earlier versions.
    pub(in crate::daemon) fn clean(&self, since: DateTime<Utc>) {
        for path in files(&self.dir) {
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

impl SpooledBatch {
    fn of(bytes: &[u8]) -> Self {
        let mut batch = Self::default();
        // The whole file is one array; earlier versions wrote it on one line.
        if let Ok(elements) = serde_json::from_slice::<Vec<Box<RawValue>>>(bytes) {
            elements.iter().for_each(|element| batch.add(element.get().as_bytes()));
            return batch;
        }
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            let line = line.strip_suffix(b",").unwrap_or(line);
            if !matches!(line, b"" | b"[" | b"]") {
                batch.add(line);
            }
        }
        batch
    }

    fn add(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(attempt) => {
                self.attempts.push(attempt);
                let origin = serde_json::from_slice::<SpooledFrom>(line).ok().and_then(|from| from.database);
                self.origin = self.origin.take().or(origin);
            }
            Err(error) => self.damaged.push((line.to_vec(), error.to_string())),
        }
    }
}

/// Writes a file so that it is complete or missing. Nothing is left behind if that fails.
fn store_file(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let (temporary, path) = (dir.join(format!("{name}.new")), dir.join(name));
    let write = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    match write() {
        Ok(()) => Ok(path),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// The files in a directory, by name.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::machine_time, domain::task::ClaimedTask};

    fn attempts(count: i64) -> Vec<FinishedAttempt> {
        let end = |id| {
            let now = DateTime::UNIX_EPOCH;
            ClaimedTask::sample(id).interrupted(&"n".into(), None, "two\nlines", now, Duration::ZERO)
        };
        (1..=count).map(end).collect()
    }

    #[test]
    fn waiting_batches_stay_and_old_incomplete_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"), ForeignLeftovers::default());
        let path = spool.write(&[]).unwrap();
        let incomplete = path.with_extension("json.new");
        fs::write(&incomplete, "half a batch").unwrap();
        let refused = spool.refuse(&attempts(1)[0], "it is bad").unwrap();
        spool.clean(machine_time() - chrono::TimeDelta::days(7));
        assert!(incomplete.exists(), "it is young");
        spool.clean(machine_time() + chrono::TimeDelta::seconds(1));
        assert!(!incomplete.exists());
        assert_eq!((spool.waiting(), spool.refused()), (vec![path], vec![refused]));
    }

    #[test]
    fn one_damaged_line_leaves_the_others_readable() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("spool"), ForeignLeftovers::default());
        let all = attempts(3);
        let path = spool.write(&all).unwrap();
        assert_eq!(spool.read(&path).unwrap().unwrap().attempts, all);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "one attempt on a line: {text}");
        let half = [lines[0], lines[1], &lines[2][..50], lines[3], lines[4]].join("\n");
        fs::write(&path, [half.as_bytes(), b"\n\xff\xfe\n"].concat()).unwrap();
        let batch = spool.read(&path).unwrap().unwrap();
        assert_eq!(batch.attempts, [all[0].clone(), all[2].clone()]);
        assert_eq!(batch.damaged.len(), 2, "{batch:?}");
        let aside = spool.put_aside(&path, &batch.damaged).unwrap();
        assert_eq!(fs::read(&aside).unwrap(), [&lines[2].as_bytes()[..50], b"\n\xff\xfe"].concat());
    }

    #[test]
    fn earlier_versions_wrote_one_line() {
        let all = attempts(2);
        let batch = SpooledBatch::of(&serde_json::to_vec(&all).unwrap());
        assert_eq!(batch, SpooledBatch { attempts: all.clone(), ..SpooledBatch::default() });
        let folder = tempfile::tempdir().unwrap();
        let path = Spool::new(folder.path().to_owned(), ForeignLeftovers::default()).write(&all).unwrap();
        let read: Vec<FinishedAttempt> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(read, all, "an older daemon can read it as well");
    }

    #[test]
    fn a_refused_attempt_can_be_moved_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().to_owned(), ForeignLeftovers::default());
        let path = spool.refuse(&attempts(1)[0], "it is bad").unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("\"refused\":\"it is bad\""));
        assert_eq!(spool.read(&path).unwrap().unwrap().attempts, attempts(1));
    }

    #[test]
    fn what_cannot_be_read_now_is_not_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().to_owned(), ForeignLeftovers::default());
        // As a lack of descriptors, or a disk with errors.
        fs::create_dir(folder.path().join("a.json")).unwrap();
        assert!(spool.read(&folder.path().join("a.json")).is_err());
        assert_eq!(spool.read(&folder.path().join("b.json")).unwrap(), None);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // The rename fails.
        fs::create_dir_all(folder.path().join("a.json/b")).unwrap();
        assert!(store_file(folder.path(), "a.json", b"[]").is_err());
        assert!(!folder.path().join("a.json.new").exists());
    }

    #[test]
    fn batches_of_another_database_are_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let spool_of = |database: Option<&str>| {
            Spool::new(folder.path().to_owned(), ForeignLeftovers::new(database.map(DatabaseId::from)))
        };
        let ended = attempts(1);
        let [old, own, other] = [None, Some("own"), Some("other")].map(|of| spool_of(of).write(&ended).unwrap());
        let spool = spool_of(Some("own"));
        assert!([&old, &own].iter().all(|path| spool.is_own(path)) && !spool.is_own(&other));
        spool.put_foreign_aside();
        assert_eq!(spool.waiting(), [old, own.clone()]);
        assert_eq!(spool.read(&own).unwrap().unwrap().attempts, ended);
        assert!(folder.path().join("foreign").join(other.file_name().unwrap()).exists());
        assert_eq!(spool.foreign.count(), 1);
        spool.clean(machine_time() + chrono::TimeDelta::seconds(1));
        assert_eq!(spool.foreign.count(), 1, "nothing foreign is deleted");
        let later = spool_of(Some("own"));
        later.put_foreign_aside();
        assert_eq!(later.foreign.count(), 1, "the next daemon counts them as well");
    }
}
