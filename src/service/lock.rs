//! A lock that proves that a process runs: the process holds it until it ends.
//!
//! It is an open-file-description lock (fcntl(2)): a query does not acquire it, and a process keeps it when it restarts
//! itself by exec.

use std::{
    fmt,
    fs::{File, Metadata},
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::files;

/// Environment variable of a daemon that has restarted itself and may still hold its lock.
pub const RESTARTED: &str = "SEXTON_RESTARTED";
/// The same as a daemon of an earlier version sets it, whose binary was replaced while it ran.
const RESTARTED_BEFORE: &str = "SEXTON_STARTED_ANEW";

/// Environment variable of a daemon that its process supervisor starts after a failure of an earlier one.
pub(super) const SUCCESSOR: &str = "SEXTON_SUCCESSOR";

/// Whether this process replaces a daemon that has run before: it restarted itself, or it failed and was restarted.
pub fn is_restart() -> bool {
    has_restarted() || std::env::var_os(SUCCESSOR).is_some()
}

/// Whether this process is a daemon that has restarted itself by `exec`.
pub fn has_restarted() -> bool {
    [RESTARTED, RESTARTED_BEFORE].iter().any(|name| std::env::var_os(name).is_some())
}

/// A held lock.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

/// The process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id; 0 if it is unknown.
    pub pid: i32,
}

/// Why a lock was not acquired.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{0} holds it")]
    Held(Holder),
    /// The file cannot be created or locked.
    #[error("{path}: {error}")]
    Impossible {
        /// The lock file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
}

impl FileLock {
    /// Acquires the lock, and writes the id of this process into the file.
    ///
    /// # Errors
    /// If another process holds the lock, or the file cannot be created or locked.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let impossible = |error| LockError::Impossible { path: path.to_owned(), error };
        let options = || files::own_file().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = options().map_err(impossible)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                return Err(LockError::Held(Self::holder(path).map_err(impossible)?.unwrap_or(Holder { pid: 0 })));
            }
            Err(error) => return Err(impossible(error.into())),
        }
        // Written before the rest of the earlier id is cut off: a reader finds an id at any moment.
        let id = format!("{}\n", std::process::id());
        file.write_all(id.as_bytes()).and_then(|()| file.set_len(id.len() as u64)).map_err(impossible)?;
        Ok(Self { file })
    }

    /// The holder of the lock, if it is held. The query does not disturb the holder.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut lock = whole_file(libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        if lock.l_type == libc::F_UNLCK as libc::c_short {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // Until a new holder has written its id, that of an earlier one is there, or none. One in another container has another id.
        let pid = text.lines().next().and_then(|id| id.trim().parse().ok()).unwrap_or(0);
        Ok(Some(Holder { pid: if has_open(pid, &file.metadata()?) { pid } else { 0 } }))
    }

    /// Whether the locked file is still the one at `path`: it may have been removed or replaced.
    pub fn is_at(&self, path: &Path) -> bool {
        files::is_at(&self.file, path)
    }

    /// Moves the lock to standard input, which a daemon does not need, so that it survives an exec. [`FileLock::kept`]
    /// finds it there.
    ///
    /// # Errors
    /// If the file descriptor cannot be duplicated.
    pub fn keep_over_exec(&self) -> io::Result<()> {
        Ok(rustix::stdio::dup2_stdin(&self.file)?)
    }

    /// The lock of that file, if this process has kept it over an exec.
    pub fn kept(path: &Path) -> Option<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
        let lock = Self { file };
        if !lock.is_at(path) {
            return None;
        }
        // This succeeds only if this process holds the lock already, or no process does.
        fcntl(&lock.file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))).ok()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null").ok()?).ok()?;
        Some(lock)
    }
}

/// Whether a process has the file open. For a process of another user, which cannot be checked, this is assumed.
fn has_open(pid: i32, file: &Metadata) -> bool {
    let entries = match std::fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(entries) => entries,
        Err(error) => return error.kind() == io::ErrorKind::PermissionDenied,
    };
    let opened = entries.flatten().filter_map(|entry| std::fs::metadata(entry.path()).ok());
    opened.into_iter().any(|opened| files::is_same(&opened, file))
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => f.write_str("a process that is not visible from here"),
            pid => write!(f, "process {pid}"),
        }
    }
}

/// An fcntl lock of the whole file.
fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_a_query_does_not_disturb_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        assert_eq!(FileLock::holder(&path).expect("an answer"), None);
        let held = FileLock::take(&path).expect("free");
        let own = Holder { pid: std::process::id() as i32 };
        assert_eq!(FileLock::holder(&path).expect("an answer"), Some(own));
        assert!(matches!(FileLock::take(&path), Err(LockError::Held(holder)) if holder == own));
        assert!(FileLock::kept(&path).is_none(), "the lock is not on standard input");
        std::fs::write(&path, "1\n").expect("ours");
        let stranger = FileLock::holder(&path).expect("an answer").expect("a holder");
        assert_eq!(stranger.pid, 0, "process 1 has not opened it");
        drop(held);
        assert_eq!(FileLock::holder(&path).expect("an answer"), None, "the file alone means nothing");
        std::fs::write(&path, "1234567890\n1\n").expect("ours");
        drop(FileLock::take(&path).expect("free"));
        let text = std::fs::read_to_string(&path).expect("text");
        assert_eq!(text, format!("{}\n", own.pid), "nothing of a longer earlier id is left");
        FileLock::take(&path).expect("free again");
    }
}
