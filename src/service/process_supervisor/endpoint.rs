//! The lock and the socket of a process supervisor in the run directory.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixDatagram,
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
    /// Address of the socket for the daemon. If the path is too long for an address, it goes through /proc.
    pub(super) address: PathBuf,
    directory: OwnedFd,
}

impl SupervisorEndpoint {
    pub(super) fn take(run: &RunDir, lock: FileLock) -> io::Result<Self> {
        let (notify, directory) = bind(run)?;
        let address = match run.is_deep() {
            true => format!("/proc/{}/fd/{}/notify.sock", std::process::id(), directory.as_raw_fd()).into(),
            false => run.notify_socket(),
        };
        Ok(Self { lock, notify, address, directory })
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

    /// Removes the files of this process supervisor, and then releases the lock. After that, they would be those of the
    /// next one; so they are if the run directory was removed, and another one holds its lock.
    pub(super) fn close(self, run: &RunDir) {
        if self.lock.is_at(&run.lock_file(Role::Supervisor)) {
            run.clear_status();
            let _ = std::fs::remove_file(run.notify_socket());
        }
    }
}

fn bind(run: &RunDir) -> io::Result<(UnixDatagram, OwnedFd)> {
    let socket = run.notify_socket();
    // This process holds the lock: a socket that exists is left from an earlier process supervisor.
    let notify = run.bind(&socket, |address| UnixDatagram::bind(address))?;
    notify.set_nonblocking(true)?;
    Ok((notify, File::open(run.path())?.into()))
}
