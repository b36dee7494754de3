//! The file of an SQLite database: which one it is, as long as it is there.
//!
//! A file that was deleted or replaced lives on unseen for those who have it open: what they write is lost.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A database file, and which file it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct SqliteFile {
    path: PathBuf,
    /// Device and inode; none if it was not there.
    identity: Option<(u64, u64)>,
}

impl SqliteFile {
    pub(super) fn at(path: PathBuf) -> Self {
        let identity = identity(&path);
        Self { path, identity }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The same path as it is now.
    pub(super) fn looked_at_again(&self) -> Self {
        Self::at(self.path.clone())
    }

    /// The processes that write to the file at the moment, in brackets; empty if none can be named.
    pub(super) fn writers(&self) -> String {
        let mut shared = self.path.clone().into_os_string();
        shared.push("-shm");
        let inode = identity(Path::new(&shared)).map(|(_, inode)| inode);
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let named = |pid: u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid}, {}", name.trim())
        };
        let found: Vec<String> = inode.map(|inode| writers(&locks, inode)).into_iter().flatten().map(named).collect();
        if found.is_empty() { String::new() } else { format!(" ({})", found.join("; ")) }
    }

    /// What became of the file since it was looked at; none if it is still the same.
    pub(super) fn change(&self) -> Option<&'static str> {
        match (self.identity, identity(&self.path)) {
            (known, now) if known == now => None,
            (_, None) => Some("was deleted or moved"),
            _ => Some("was replaced by another file"),
        }
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
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
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
