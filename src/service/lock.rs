//! A lock that tells who lives: held by a process for its life, and gone with it.
//!
//! It is an open-file-description lock (fcntl(2)): whoever asks does not take it even for a moment, and it stays with
//! its process when that starts itself anew.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    libc,
};

/// A held lock.
#[derive(Debug)]
pub struct Lock {
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
    #[error("process {} holds it", .0.pid)]
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

impl Lock {
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
        Ok(Some(Holder { pid: text.trim().parse().unwrap_or(0) }))
    }

    /// Keeps the lock over a new start of this process; gives the number by which [`Lock::kept`] knows it again.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn keep_over_exec(&self) -> io::Result<i32> {
        fcntl(&self.file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(self.file.as_raw_fd())
    }

    /// Whether this process holds the lock of that file already, from before it started itself anew. The descriptor stays
    /// open as long as the process.
    pub fn kept(path: &Path, number: &str) -> bool {
        let same = |a: std::fs::Metadata, b: std::fs::Metadata| a.dev() == b.dev() && a.ino() == b.ino();
        match (std::fs::metadata(format!("/proc/self/fd/{number}")), std::fs::metadata(path)) {
            (Ok(kept), Ok(file)) => same(kept, file) && matches!(Self::holder(path), Ok(Some(_))),
            _ => false,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
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
        assert_eq!(Lock::holder(&path).expect("an answer"), None);
        let held = Lock::take(&path).expect("free");
        let own = Holder { pid: std::process::id() as i32 };
        assert_eq!(Lock::holder(&path).expect("an answer"), Some(own));
        assert!(matches!(Lock::take(&path), Err(LockError::Held(holder)) if holder == own));
        drop(held);
        assert_eq!(Lock::holder(&path).expect("an answer"), None, "the file alone means nothing");
        Lock::take(&path).expect("free again");
    }
}
