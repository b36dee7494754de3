//! Notices that another process has written to an SQLite file: its write-ahead log changes with each write.
//!
//! The kernel tells of it (inotify) when the writer writes, and not when its commit can be read: that comes after the flush,
//! without a trace in any file that the kernel watches. So one change is reported several times.
//!
//! A look at the file from time to time is there for file systems whose kernel does not:
//! the more seldom, the longer nothing has changed.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Changes that follow closer are one.
const MIN_PAUSE: Duration = Duration::from_millis(4);
/// Between two looks at the file while it changes and the kernel does not tell.
const MIN_LOOK: Duration = Duration::from_millis(8);
/// The longest time between two looks if the kernel does not tell.
const MAX_LOOK: Duration = Duration::from_millis(250);
/// A look comes after this part of the time since the last change.
const PACE: u32 = 8;
/// The time between two looks where the kernel tells.
const CONTROL: Duration = Duration::from_secs(1);

/// How long after a change it is reported again: by then the flush of the writer may have ended.
const REPEATS: [Duration; 3] = [Duration::from_millis(20), Duration::from_millis(120), Duration::from_millis(640)];

/// A watched write-ahead log.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    /// Its last known modification time and size.
    seen: Option<(SystemTime, u64)>,
    changed_at: Instant,
    /// How often the last change was reported again.
    repeated: usize,
    /// What the kernel tells; none where it does not.
    notifications: Option<Notifications>,
}

/// The kernel tells of changes in a directory.
#[derive(Debug)]
struct Notifications {
    told: Arc<Notify>,
    /// Watches as long as it lives.
    _watcher: RecommendedWatcher,
}

impl FileWatch {
    /// Watches the write-ahead log of a database file. It need not exist yet.
    pub(super) fn of(database: PathBuf) -> Self {
        let mut path = OsString::from(database);
        path.push("-wal");
        let path = PathBuf::from(path);
        let notifications = Notifications::beside(&path).inspect_err(|error| {
            tracing::debug!("the kernel does not tell of changes of {}, looking at it: {error}", path.display());
        });
        Self {
            seen: stamp(&path),
            path,
            changed_at: Instant::now(),
            repeated: REPEATS.len(),
            notifications: notifications.ok(),
        }
    }

    /// Waits for the next change, or until one is reported again. It may be given up and called again: nothing is lost.
    pub(super) async fn changed(&mut self) {
        tokio::time::sleep(MIN_PAUSE.saturating_sub(self.changed_at.elapsed())).await;
        loop {
            let state = stamp(&self.path);
            if state != self.seen {
                (self.seen, self.changed_at, self.repeated) = (state, Instant::now(), 0);
                return;
            }
            let age = self.changed_at.elapsed();
            let repeat = REPEATS.get(self.repeated).map(|after| after.saturating_sub(age));
            if repeat == Some(Duration::ZERO) {
                self.repeated += 1;
                return;
            }
            let Some(notifications) = &self.notifications else {
                let look = (age / PACE).clamp(MIN_LOOK, MAX_LOOK);
                tokio::time::sleep(repeat.map_or(look, |repeat| repeat.min(look))).await;
                continue;
            };
            let patience = repeat.unwrap_or(CONTROL);
            if tokio::time::timeout(patience, notifications.told.notified()).await.is_err()
                && patience == CONTROL
                && stamp(&self.path) != self.seen
            {
                // It changed, and the kernel did not tell: another kernel has written.
                self.notifications = None;
            }
        }
    }
}

/// The modification time and size of a file; none if it does not exist.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

impl Notifications {
    /// Watches the directory of a file: the file comes and goes.
    fn beside(path: &Path) -> notify::Result<Self> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let told = Arc::new(Notify::new());
        let teller = told.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                teller.notify_one();
            }
        })?;
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Self { told, _watcher: watcher })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Whether the watch notices a write within a generous time.
    async fn notices(watch: &mut FileWatch, file: &Path) {
        let mut wal = fs::OpenOptions::new().append(true).create(true).open(file).expect("the file");
        wal.write_all(b"x").expect("a write");
        tokio::time::timeout(Duration::from_secs(30), watch.changed()).await.expect("noticed");
    }

    #[tokio::test]
    async fn a_write_is_noticed_with_and_without_the_kernel() {
        let dir = tempfile::tempdir().expect("a directory");
        let (database, wal) = (dir.path().join("a.db"), dir.path().join("a.db-wal"));
        let mut watch = FileWatch::of(database);
        assert!(watch.notifications.is_some());
        notices(&mut watch, &wal).await;
        notices(&mut watch, &wal).await;
        assert!(watch.notifications.is_some(), "the kernel tells");
        fs::remove_file(&wal).expect("removed");
        notices(&mut watch, &wal).await;
        watch.notifications = None;
        notices(&mut watch, &wal).await;
    }

    #[tokio::test]
    async fn a_change_is_reported_again_until_its_commit_can_be_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let wal = dir.path().join("a.db-wal");
        for is_told in [true, false] {
            let mut watch = FileWatch::of(dir.path().join("a.db"));
            watch.notifications = watch.notifications.filter(|_| is_told);
            notices(&mut watch, &wal).await;
            for _ in REPEATS {
                tokio::time::timeout(Duration::from_secs(30), watch.changed()).await.expect("again");
            }
            assert!(tokio::time::timeout(REPEATS[2], watch.changed()).await.is_err(), "and no more: {is_told}");
        }
    }

    #[tokio::test]
    async fn a_change_of_which_the_kernel_does_not_tell_ends_the_trust_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let (database, wal) = (dir.path().join("a.db"), dir.path().join("a.db-wal"));
        let mut watch = FileWatch::of(database);
        watch.notifications = Some(Notifications::beside(&elsewhere.path().join("b")).expect("notifications"));
        let writer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            fs::write(wal, b"x").expect("a write");
        });
        tokio::time::timeout(Duration::from_secs(30), watch.changed()).await.expect("noticed");
        writer.await.expect("written");
        assert!(watch.notifications.is_none());
    }
}
