//! The file of an SQLite database: which one it is, as long as it is there.
//!
//! A file that was deleted or replaced lives on unseen for those who have it open: what they write is lost.

use std::{
    fs::File,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::Access;

/// A database file.
#[derive(Debug)]
pub struct SqliteFile {
    path: PathBuf,
    /// Whether it is created if it is missing.
    creates: bool,
    was_opened: AtomicBool,
}

/// Which file it is: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity(u64, u64);

impl SqliteFile {
    pub(super) fn at(path: PathBuf, creates: bool) -> Self {
        Self { path, creates, was_opened: AtomicBool::new(false) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the file if it was never there, and returns its identity. If it cannot be created, SQLite reports
    /// the cause. Only its owner can read a new file.
    ///
    /// # Errors
    /// If the file was there and is lost, or was never there and is not created here; in one sentence.
    pub(super) fn prepare(&self) -> Result<Option<FileIdentity>, String> {
        if self.was_opened.load(Ordering::Acquire) {
            return identity(&self.path).map(Some).ok_or_else(|| self.lost());
        }
        if !self.creates {
            return identity(&self.path).map(Some).ok_or_else(|| {
                format!("the database file {} does not exist: the daemon creates it", self.path.display())
            });
        }
        let _ = File::options().write(true).create_new(true).mode(0o600).open(&self.path);
        Ok(identity(&self.path))
    }

    /// That this process may not write to the file, or to its directory, where SQLite keeps its log.
    pub(super) fn denial(&self) -> Option<String> {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let refused = [self.path.as_path(), dir].into_iter().find(|path| {
            rustix::fs::access(*path, Access::READ_OK | Access::WRITE_OK) == Err(rustix::io::Errno::ACCESS)
        })?;
        Some(format!("this user may not write to {}", refused.display()))
    }

    /// Whether the file is on a file system that is mounted read-only. SQLite only says that it cannot open it.
    pub(super) fn is_read_only(&self) -> bool {
        rustix::fs::access(&self.path, Access::WRITE_OK) == Err(rustix::io::Errno::ROFS)
    }

    /// SQLite opened the file that `prepare` returned.
    ///
    /// # Errors
    /// If the path no longer leads to that file, in one sentence: which one SQLite opened cannot be known.
    pub(super) fn opened(&self, prepared: Option<FileIdentity>) -> Result<Option<FileIdentity>, String> {
        self.was_opened.store(true, Ordering::Release);
        if identity(&self.path) == prepared { Ok(prepared) } else { Err(self.lost()) }
    }

    fn lost(&self) -> String {
        format!("the database file {} was deleted or moved", self.path.display())
    }

    /// What became of the file that was opened; none if its path still leads to it.
    pub(super) fn change_since(&self, opened: FileIdentity) -> Option<&'static str> {
        match identity(&self.path) {
            Some(now) if now == opened => None,
            Some(_) => Some("was replaced by another file"),
            None => Some("was deleted or moved"),
        }
    }

    /// The processes that write to the file at the moment, in brackets; empty if none can be named.
    pub(super) fn writers(&self) -> String {
        let mut shared = self.path.clone().into_os_string();
        shared.push("-shm");
        let inode = identity(Path::new(&shared)).map(|FileIdentity(_, inode)| inode);
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let named = |pid: u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid}, {}", name.trim())
        };
        let found: Vec<String> =
            inode.map(|inode| writers(&locks, inode)).unwrap_or_default().into_iter().map(named).collect();
        if found.is_empty() { String::new() } else { format!(" ({})", found.join("; ")) }
    }
}

/// The processes that `/proc/locks` shows with a lock for writing on a file.
fn writers(locks: &str, inode: u64) -> Vec<u32> {
    let writer = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (kind, process, place) = (words.get(3)?, words.get(4)?, words.get(5)?);
        let is_same = place.rsplit(':').next().and_then(|text| text.parse::<u64>().ok()) == Some(inode);
        (*kind == "WRITE" && is_same).then(|| process.parse().ok()).flatten()
    };
    let mut found: Vec<u32> = locks.lines().filter_map(writer).filter(|pid| *pid != std::process::id()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Looks at the file without opening it: to close it again would release SQLite's own locks on it.
fn identity(path: &Path) -> Option<FileIdentity> {
    std::fs::metadata(path).ok().map(|file| FileIdentity(file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_found_by_their_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 71 00:29:1234 120 120\n2: POSIX  ADVISORY  READ 72 00:29:1234 123 123\n\
                     3: FLOCK  ADVISORY  WRITE 73 00:29:99 0 EOF\n1: -> POSIX  ADVISORY  WRITE 74 00:29:1234 120 120\n";
        assert_eq!(writers(locks, 1234), [71]);
    }
}
