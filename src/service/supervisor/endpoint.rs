//! Where a process supervisor is found, and where it hears its daemon: its lock and its socket in the run directory.

use std::{
    fs::{File, Permissions, remove_file, set_permissions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{fs::PermissionsExt as _, net::UnixDatagram},
    },
    path::PathBuf,
};

use crate::service::{
    lock::FileLock,
    rundir::{Role, RunDir},
};

/// A lock and a socket.
pub(super) struct SupervisorEndpoint {
    lock: FileLock,
    pub(super) notify: UnixDatagram,
    /// The socket's address, as the daemon is told it: however deep the directory lies, it is short enough.
    pub(super) address: PathBuf,
    directory: OwnedFd,
}

impl SupervisorEndpoint {
    pub(super) fn take(run: &RunDir, lock: FileLock) -> io::Result<Self> {
        let (notify, directory) = bind(run)?;
        let address = format!("/proc/{}/fd/{}/notify.sock", std::process::id(), directory.as_raw_fd());
        Ok(Self { lock, notify, address: address.into(), directory })
    }

    /// Takes it anew, if it was cleared away; whether it was. The daemon's address stays good: the same descriptor is the
    /// new directory.
    pub(super) fn mend(&mut self, run: &RunDir) -> io::Result<bool> {
        if self.lock.is_at(&run.lock_file(Role::Supervisor)) && run.notify_socket().exists() {
            return Ok(false);
        }
        run.create()?;
        if !self.lock.is_at(&run.lock_file(Role::Supervisor)) {
            self.lock = run.lock(Role::Supervisor).map_err(|error| io::Error::other(error.to_string()))?;
        }
        let (notify, directory) = bind(run)?;
        rustix::io::dup2(&directory, &mut self.directory)?;
        self.notify = notify;
        Ok(true)
    }
}

fn bind(run: &RunDir) -> io::Result<(UnixDatagram, OwnedFd)> {
    let socket = run.notify_socket();
    // The lock is ours: whoever has bound this is gone.
    let _ = remove_file(&socket);
    let notify = run.with_address(&socket, |address| UnixDatagram::bind(address))?;
    notify.set_nonblocking(true)?;
    set_permissions(&socket, Permissions::from_mode(0o600))?;
    Ok((notify, File::open(run.path())?.into()))
}
