//! The run directory: the files by which a daemon is found.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use super::{
    lock::{FileLock, Holder, LockError},
    ownership::{check_directory, owner_of},
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
        check_directory(&self.path)
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

    /// Binds a socket in this directory that is accessible for its owner only, from its first moment: it is bound in a
    /// private directory, and then moved. An existing socket is replaced.
    ///
    /// # Errors
    /// If a directory or the socket cannot be created or moved.
    pub fn bind<T>(&self, socket: &Path, bind: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let private = socket.with_extension("new");
        // One is left if the daemon was killed between these steps.
        let _ = fs::remove_dir_all(&private);
        DirBuilder::new().mode(0o700).create(&private)?;
        let new = private.join(socket.file_name().unwrap_or_default());
        let bound = with_address(&new, bind)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, socket)?;
        fs::remove_dir(&private)?;
        Ok(bound)
    }

    /// Whether the path of the control socket is too long for programs that do not go through /proc.
    pub fn is_deep(&self) -> bool {
        self.control_socket().as_os_str().len() > MAX_ADDRESS
    }
}

/// Calls `work` with an address for that socket. If the path is too long for an address, the address goes through the
/// open directory in /proc.
///
/// # Errors
/// If the directory cannot be opened, or `work` fails.
pub(super) fn with_address<T>(socket: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else { return work(socket) };
    if socket.as_os_str().len() <= MAX_ADDRESS {
        return work(socket);
    }
    let directory = File::open(directory)?;
    work(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
}
