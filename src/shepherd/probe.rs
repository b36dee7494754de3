//! The probe: whether a command could be started now.

use std::{io, path::Path};

use nix::errno::Errno;

use super::{attempt_dir::AttemptDir, shepherds::Shepherds};
use crate::files::error_at;

/// The size of a probe: a manifest, an input and a result of usual sizes.
const PROBE_BYTES: usize = 16 * 1024;

impl Shepherds {
    /// Checks that a command could be started now: there is disk space, and the fork server can fork.
    ///
    /// # Errors
    /// The error of the operating system with which the start of a command would fail.
    pub async fn probe(&self) -> io::Result<()> {
        let node_dir = self.node_dir()?;
        probe_space(&node_dir.path().join("probe"))?;
        let nobody = AttemptDir::at(node_dir.path().join("none"));
        match self.request(&nobody).await {
            // The fork was made, and found that this attempt does not exist.
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }
}

/// Checks that a file of moderate size can be written.
fn probe_space(path: &Path) -> io::Result<()> {
    let written = std::fs::write(path, [0; PROBE_BYTES]).map_err(error_at(path));
    // The file is removed whether or not it could be written.
    let removed = std::fs::remove_file(path);
    written.and(removed)
}
