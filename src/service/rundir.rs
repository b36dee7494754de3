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

/// A longer path cannot be the address of a unix socket (unix(7)).
const LONGEST_ADDRESS: usize = 107;

/// The run directory of one daemon.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// Who can hold a lock in a run directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The daemon.
    Daemon,
    /// The process supervisor above it.
    Supervisor,
}

impl RunDir {
    /// The run directory there, whether it exists or not.
    pub fn at(path: &Path) -> Self {
        Self { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it if it is missing, for its owner alone.
    ///
    /// # Errors
    /// If it cannot be made, or somebody else could meddle with it.
    pub fn create(&self) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(named)?;
        check_owner(&self.path)
    }

    /// Takes the lock of that role.
    ///
    /// # Errors
    /// If somebody has it, or there is no way to have one.
    pub fn lock(&self, role: Role) -> Result<FileLock, LockError> {
        FileLock::take(&self.lock_file(role))
    }

    /// Who has that role at present.
    ///
    /// # Errors
    /// If it cannot be found out.
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

    /// The file that is locked.
    pub fn lock_file(&self, role: Role) -> PathBuf {
        self.file(match role {
            Role::Daemon => "daemon.lock",
            Role::Supervisor => "supervisor.lock",
        })
    }

    /// Where the daemon answers.
    pub fn control_socket(&self) -> PathBuf {
        self.file("control.sock")
    }

    /// Where the daemon tells its process supervisor how it does.
    pub(super) fn notify_socket(&self) -> PathBuf {
        self.file("notify.sock")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Does something with the address of a socket in this directory, however deep that lies: where the path is too long
    /// for an address, the open directory stands for it.
    ///
    /// # Errors
    /// If the directory cannot be opened, or what `work` says.
    pub fn with_address<T>(&self, socket: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        if socket.as_os_str().len() <= LONGEST_ADDRESS {
            return work(socket);
        }
        let directory = std::fs::File::open(&self.path)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let name = socket.file_name().unwrap_or_default();
        work(&Path::new("/proc/self/fd").join(number.to_string()).join(name))
    }

    /// Whether the control socket's path is too long for programs that do not know the way around it.
    pub fn is_deep(&self) -> bool {
        self.control_socket().as_os_str().len() > LONGEST_ADDRESS
    }
}
