//! Module locks: of all daemons on a machine, one may run a process module. The lock ends with the daemon's process.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::files::{error_at, is_at, own_file, try_lock};

/// The directory of the locks. No node has such a name.
const LOCKS_DIR: &str = ".seats";

/// A held lock.
#[derive(Debug)]
pub struct ModuleLock {
    lock: Flock<File>,
    path: PathBuf,
}

impl ModuleLock {
    /// Takes the lock of that module; none if another process has it.
    ///
    /// # Errors
    /// If the lock file cannot be created or locked.
    pub fn take(root: &Path, name: &str) -> io::Result<Option<Self>> {
        let path = Self::path(root, name)?;
        let dir = path.parent().unwrap_or(root);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(error_at(dir))?;
        let file = own_file().create(true).append(true).mode(0o600).open(&path).map_err(error_at(&path))?;
        let lock = try_lock(file, FlockArg::LockExclusiveNonblock)?.map(|lock| Self { lock, path });
        // It may have been removed before it was locked: then another process can lock a new file.
        Ok(lock.filter(Self::is_in_place))
    }

    fn path(root: &Path, name: &str) -> io::Result<PathBuf> {
        // A name may contain slashes but no percent sign, and it may be `..`.
        Ok(std::path::absolute(root)?.join(LOCKS_DIR).join(format!("{}.seat", name.replace('/', "%"))))
    }

    /// Whether the lock file exists, locked or not.
    pub fn exists(root: &Path, name: &str) -> bool {
        Self::path(root, name).is_ok_and(|path| path.exists())
    }

    /// Whether the lock file is still in its place. Without it, another daemon can take the lock.
    pub fn is_in_place(&self) -> bool {
        is_at(&self.lock, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_lock() {
        let root = tempfile::tempdir().expect("a directory");
        let lock = ModuleLock::take(root.path(), "a/b").expect("it works");
        assert!(lock.is_some());
        assert!(ModuleLock::take(root.path(), "a/b").expect("it works").is_none());
        assert!(ModuleLock::take(root.path(), "..").expect("another one").is_some());
        drop(lock);
        assert!(ModuleLock::take(root.path(), "a/b").expect("it works").is_some());
    }

    #[test]
    fn a_lock_file_that_was_removed_is_noticed() {
        let root = tempfile::tempdir().expect("a directory");
        let lock = ModuleLock::take(root.path(), "a").expect("it works").expect("it is free");
        assert!(lock.is_in_place());
        std::fs::remove_dir_all(root.path().join(LOCKS_DIR)).expect("removed");
        assert!(!lock.is_in_place());
        let other = ModuleLock::take(root.path(), "a").expect("it works").expect("it is free");
        assert!(other.is_in_place() && !lock.is_in_place(), "another one has its place");
    }
}
