//! How much room a file system has.

use std::{io, path::Path};

use crate::domain::daemon::disk::DiskSpace;

/// The room of the file system of a path, for users without privileges.
///
/// # Errors
/// If there is nothing at the path, or the file system does not answer.
pub fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let found = rustix::fs::statvfs(path)?;
    let usable = found.f_blocks - found.f_bfree + found.f_bavail;
    Ok(DiskSpace {
        free: found.f_bavail * found.f_frsize,
        total: usable * found.f_frsize,
        free_inodes: found.f_favail,
        inodes: found.f_files,
    })
}
