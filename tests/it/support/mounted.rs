//! File systems for tests of full disks.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A file system that is mounted for the duration of a test.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn new(at: &Path, kind: &str, options: &str) -> Self {
        let mount = Command::new("mount").args(["-t", kind, "-o", options, "none"]).arg(at).status().unwrap();
        assert!(mount.success());
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
