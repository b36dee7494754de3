//! Node directories: the attempts of one daemon, and the lock that shows whether the daemon is alive.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use nix::fcntl::{Flock, FlockArg};

use super::{attempt_dir::AttemptDir, lease_file::LEASE};
use crate::{
    domain::identity::NodeId,
    files::{error_at, is_at, own_file, try_lock},
};

const LOCK: &str = "lock";
/// The journal of begun attempts.
pub(super) const BEGUN: &str = "begun";

/// The directory of one daemon's attempts, locked by the daemon that is responsible for them.
#[derive(Debug)]
pub struct NodeDir {
    path: PathBuf,
    lock: Flock<File>,
}

impl NodeDir {
    /// Opens the directory of a node, and creates it if it does not exist.
    ///
    /// # Errors
    /// If it cannot be created, or another process has locked it.
    pub fn open(root: &Path, node: &NodeId) -> io::Result<Self> {
        let path = std::path::absolute(root)?.join(node.as_str());
        if !path.exists() {
            // Locked before it gets its name, so that it never looks abandoned.
            let new = path.with_file_name(format!(".{node}"));
            DirBuilder::new().recursive(true).mode(0o700).create(&new).map_err(error_at(&new))?;
            if let Some(Self { lock, .. }) = Self::lock(new.clone())? {
                fs::rename(&new, &path).map_err(error_at(&path))?;
                return Ok(Self { path, lock });
            }
        }
        let held = Self::lock(path.clone())?;
        held.ok_or_else(|| io::Error::other(format!("{}: another daemon has locked this directory", path.display())))
    }

    fn lock(path: PathBuf) -> io::Result<Option<Self>> {
        let file = own_file().create(true).append(true).mode(0o600).open(path.join(LOCK)).map_err(error_at(&path))?;
        let Some(held) = try_lock(file, FlockArg::LockExclusiveNonblock)? else { return Ok(None) };
        // Its last holder may have removed it in the meantime.
        let is_named = held.metadata()?.nlink() > 0;
        Ok(is_named.then_some(Self { path, lock: held }))
    }

    /// The directories whose daemons are gone, now locked by this process.
    pub fn abandoned(root: &Path) -> Vec<Self> {
        let Ok(root) = std::path::absolute(root) else { return Vec::new() };
        let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
        let is_named = |path: &PathBuf| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."));
        let paths =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_named(path) && path.join(LOCK).is_file());
        paths.filter_map(|path| Self::lock(path).ok().flatten()).collect()
    }

    /// Whether the lock file is still in its place. Someone may have removed the directory.
    pub fn is_in_place(&self) -> bool {
        is_at(&self.lock, &self.path.join(LOCK))
    }

    /// The node whose directory it is.
    pub fn node(&self) -> NodeId {
        NodeId::from(self.path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lists its attempts.
    ///
    /// # Errors
    /// If the directory cannot be read at present.
    pub fn attempt_dirs(&self) -> io::Result<Vec<AttemptDir>> {
        let entries =
            fs::read_dir(&self.path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(error_at(&self.path))?;
        let dirs = entries.into_iter().map(|entry| AttemptDir::at(entry.path()));
        Ok(dirs.filter(|dir| dir.claim().is_some()).collect())
    }

    /// The attempts of another database that were put aside.
    pub fn foreign(&self) -> Vec<AttemptDir> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.map(|entry| AttemptDir::at(entry.path())).filter(AttemptDir::is_foreign).collect()
    }

    /// The newest attempt of a task on this machine, running or not yet recorded.
    pub fn newest_attempt(root: &Path, task: i64) -> Option<AttemptDir> {
        let node_dirs = fs::read_dir(root).ok()?.flatten().filter_map(|node_dir| fs::read_dir(node_dir.path()).ok());
        let dirs = node_dirs.flat_map(|entries| entries.flatten().map(|entry| AttemptDir::at(entry.path())));
        let of_task = dirs.filter(|dir| dir.claim().is_some_and(|claim| claim.task_id == task));
        of_task.max_by_key(|dir| dir.claim().map(|claim| claim.fence))
    }

    /// Removes damaged attempts that were put aside and not changed since.
    pub fn clean(&self, since: DateTime<Utc>) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for dir in entries.flatten().map(|entry| AttemptDir::at(entry.path())) {
            let changed = fs::metadata(dir.path()).and_then(|metadata| metadata.modified());
            let is_old = changed.is_ok_and(|changed| DateTime::<Utc>::from(changed) < since);
            if dir.path().is_dir() && dir.claim().is_none() && !dir.is_foreign() && is_old {
                dir.remove();
            }
        }
    }

    /// Removes the directory if it holds no attempt. Returns whether it is gone.
    pub fn remove_if_empty(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.path) else { return true };
        if entries.flatten().any(|entry| ![LOCK, LEASE, BEGUN].map(OsStr::new).contains(&&*entry.file_name())) {
            return false;
        }
        let _ = fs::remove_file(self.path.join(BEGUN));
        // The lock goes last: without it nobody would find the rest.
        for name in [BEGUN, LEASE, LOCK] {
            let _ = fs::remove_file(self.path.join(name));
        }
        fs::remove_dir(&self.path).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::task::claim::Claim, shepherd::launch_spec::AttemptManifest};

    #[test]
    fn a_directory_is_found_when_its_daemon_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let node_dir = NodeDir::open(root.path(), &"n-1".into()).unwrap();
        let (dir, held) =
            AttemptDir::create(node_dir.path(), Claim::new(4711, 3), &AttemptManifest::sample(), None).unwrap();
        assert!(NodeDir::abandoned(root.path()).is_empty(), "its daemon is alive");
        assert!(!node_dir.remove_if_empty());
        drop((node_dir, held));
        let found = NodeDir::abandoned(root.path());
        assert_eq!(found[0].attempt_dirs().unwrap(), std::slice::from_ref(&dir));
        assert_eq!(NodeDir::newest_attempt(root.path(), 4711).as_ref(), Some(&dir));
        assert_eq!(NodeDir::newest_attempt(root.path(), 4712), None);
        dir.remove();
        assert!(found[0].remove_if_empty());
        assert!(NodeDir::abandoned(root.path()).is_empty());
    }
}
