//! The lock and the socket of a process supervisor in the run directory.

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

/// The held lock and the bound socket.
pub(super) struct SupervisorEndpoint {
    lock: FileLock,
    pub(super) notify: UnixDatagram,
    /// Address of the socket for the daemon. It goes through /proc, so that it is short enough for any directory.
    pub(super) address: PathBuf,
    directory: OwnedFd,
}

impl SupervisorEndpoint {
    pub(super) fn take(run: &RunDir, lock: FileLock) -> io::Result<Self> {
        let (notify, directory) = bind(run)?;
        let address = format!("/proc/{}/fd/{}/notify.sock", std::process::id(), directory.as_raw_fd());
        Ok(Self { lock, notify, address: address.into(), directory })
    }

    /// Restores the lock and the socket if they were removed; returns whether they were. The daemon's address stays valid,
    /// because the same file descriptor then refers to the new directory.
    pub(super) fn repair(&mut self, run: &RunDir) -> io::Result<bool> {
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
    // This process holds the lock: a socket that exists is left from an earlier process supervisor.
    let _ = remove_file(&socket);
    let notify = run.with_address(&socket, |address| UnixDatagram::bind(address))?;
    notify.set_nonblocking(true)?;
    set_permissions(&socket, Permissions::from_mode(0o600))?;
    Ok((notify, File::open(run.path())?.into()))
}
