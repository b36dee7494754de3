//! A lock that tells who lives: held by a process for its life, and gone with it.
//!
//! It is an open-file-description lock (fcntl(2)): whoever asks does not take it even for a moment, and it stays with
//! its process when that starts itself anew.

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

/// Is set for a daemon that has started itself anew: it may have its lock from before.
pub const RESTARTED: &str = "SEXTON_STARTED_ANEW";

/// A held lock.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process; zero if it has not yet said so.
    pub pid: i32,
}

/// Why a lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{0} holds it")]
    Held(Holder),
    /// The file cannot be made or locked.
    #[error("{path}: {error}")]
    Impossible {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

impl FileLock {
    /// Takes the lock, and notes this process in it.
    ///
    /// # Errors
    /// If somebody has it, or there is no way to have one.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let impossible = |error| LockError::Impossible { path: path.to_owned(), error };
        let options = || File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = options().map_err(impossible)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                return Err(LockError::Held(Self::holder(path).map_err(impossible)?.unwrap_or(Holder { pid: 0 })));
            }
            Err(error) => return Err(impossible(error.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(impossible)?;
        Ok(Self { file })
    }

    /// Who holds the lock, if anybody does. It is not disturbed by the question.
    ///
    /// # Errors
    /// If the file cannot be looked at.
    pub fn holder(path: &Path) -> io::Result<Option<Holder>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut question = whole(libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut question))?;
        if question.l_type == libc::F_UNLCK as libc::c_short {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // It may have got the lock a moment ago, and not yet have said so; or it is in another container.
        let pid = text.trim().parse().unwrap_or(0);
        Ok(Some(Holder { pid: if has_open(pid, &file.metadata()?) { pid } else { 0 } }))
    }

    /// Whether the file is still the one that is locked: somebody may have removed it.
    pub fn is_at(&self, path: &Path) -> bool {
        files::is_at(&self.file, path)
    }

    /// Puts the lock where it survives a new start of this process: in the place of standard input, which a daemon does not
    /// need. [`FileLock::kept`] finds it there.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn keep_over_exec(&self) -> io::Result<()> {
        Ok(rustix::stdio::dup2_stdin(&self.file)?)
    }

    /// The lock of that file, if this process holds it from before it started itself anew; and only then.
    pub fn kept(path: &Path) -> Option<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
        let lock = Self { file };
        if !lock.is_at(path) {
            return None;
        }
        // It is given to whoever has it already, and to nobody else.
        fcntl(&lock.file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))).ok()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null").ok()?).ok()?;
        Some(lock)
    }
}

/// Whether that process has the file open. One that belongs to somebody else cannot be asked, and is believed.
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
            0 => f.write_str("a process that cannot be seen from here"),
            pid => write!(f, "process {pid}"),
        }
    }
}

/// The whole file, in the words of fcntl.
fn whole(kind: i32) -> libc::flock {
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
    fn one_holder_at_a_time_and_asking_disturbs_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        assert_eq!(FileLock::holder(&path).expect("an answer"), None);
        let held = FileLock::take(&path).expect("free");
        let own = Holder { pid: std::process::id() as i32 };
        assert_eq!(FileLock::holder(&path).expect("an answer"), Some(own));
        assert!(matches!(FileLock::take(&path), Err(LockError::Held(holder)) if holder == own));
        assert!(FileLock::kept(&path).is_none(), "it is not this process's standard input");
        std::fs::write(&path, "1\n").expect("ours");
        let stranger = FileLock::holder(&path).expect("an answer").expect("somebody");
        assert_eq!(stranger.pid, 0, "process 1 has not opened it");
        drop(held);
        assert_eq!(FileLock::holder(&path).expect("an answer"), None, "the file alone means nothing");
        FileLock::take(&path).expect("free again");
    }
}
