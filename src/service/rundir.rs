//! The run directory: the files by which a daemon is found.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::{
    lock::{FileLock, Holder, LockError},
    ownership::{check_owner, owner_of},
};

/// Longest path of a unix socket, in bytes (unix(7)).
const MAX_ADDRESS: usize = 107;

/// The run directory of one daemon.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// The holders of locks in a run directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The daemon.
    Daemon,
    /// Its process supervisor.
    Supervisor,
}

impl RunDir {
    /// The run directory at that path, which need not exist.
    pub fn at(path: &Path) -> Self {
        Self { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// The path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the directory if it is missing, accessible for its owner only.
    ///
    /// # Errors
    /// If it cannot be created, or another user can write to it.
    pub fn create(&self) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(named)?;
        check_owner(&self.path)
    }

    /// Acquires the lock of a role.
    ///
    /// # Errors
    /// If another process holds the lock, or the file cannot be created or locked.
    pub fn lock(&self, role: Role) -> Result<FileLock, LockError> {
        FileLock::take(&self.lock_file(role))
    }

    /// The present holder of a role.
    ///
    /// # Errors
    /// If the lock file cannot be read.
    pub fn holder(&self, role: Role) -> io::Result<Option<Holder>> {
        let file = self.lock_file(role);
        FileLock::holder(&file).map_err(|error| {
            let whose = match error.kind() {
                io::ErrorKind::PermissionDenied => owner_of(&self.path).map(|owner| format!("; run this as {owner}")),
                _ => None,
            };
            io::Error::new(error.kind(), format!("{}: {error}{}", file.display(), whose.unwrap_or_default()))
        })
    }

    /// The lock file of a role.
    pub fn lock_file(&self, role: Role) -> PathBuf {
        self.file(match role {
            Role::Daemon => "daemon.lock",
            Role::Supervisor => "supervisor.lock",
        })
    }

    /// The control socket of the daemon.
    pub fn control_socket(&self) -> PathBuf {
        self.file("control.sock")
    }

    /// The socket for messages of the daemon to its process supervisor.
    pub(super) fn notify_socket(&self) -> PathBuf {
        self.file("notify.sock")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Calls `work` with an address for a socket in this directory. If the path is too long for an address, the address goes
    /// through the open directory in /proc.
    ///
    /// # Errors
    /// If the directory cannot be opened, or `work` fails.
    pub fn with_address<T>(&self, socket: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        if socket.as_os_str().len() <= MAX_ADDRESS {
            return work(socket);
        }
        let directory = std::fs::File::open(&self.path)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let name = socket.file_name().unwrap_or_default();
        work(&Path::new("/proc/self/fd").join(number.to_string()).join(name))
    }

    /// Whether the path of the control socket is too long for programs that do not go through /proc.
    pub fn is_deep(&self) -> bool {
        self.control_socket().as_os_str().len() > MAX_ADDRESS
    }
}
