//! What a daemon was started with, in a file in its run directory; and the search for a daemon by its configuration file.
//!
//! A changed configuration may name another run directory than that of the running daemon. Its sockets are listed in
//! /proc/net/unix with their paths, so that the daemon is found all the same.

use std::{
    ffi::OsString,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use super::rundir::{Role, RunDir};

const FILE: &str = "daemon.json";
/// The environment variables that tell daemons with the same configuration file apart.
const VARIABLES: [&str; 3] = ["SEXTON__DAEMON__NAME", "SEXTON__DAEMON__STATE_DIR", "SEXTON__DAEMON__RUN_DIR"];
/// The ends of the paths at which the daemon and its process supervisor bind their sockets.
const SOCKETS: [&str; 2] = ["/control.new/control.sock", "/notify.new/notify.sock"];

/// What a daemon was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// Process id of the daemon.
    pub pid: i32,
    /// The configuration file; none without one.
    pub config: Option<PathBuf>,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Whether its modules have run.
    #[serde(default)]
    pub has_run: bool,
    /// The values of the variables that tell daemons with the same configuration file apart.
    pub variables: Vec<Option<String>>,
}

impl StartRecord {
    /// The record of this process. All paths become absolute.
    pub fn of(config: Option<&Path>, state_dir: &Path) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            config: config.map(absolute),
            state_dir: absolute(state_dir),
            has_run: false,
            variables: variables(),
        }
    }

    /// Whether a daemon that this process started now would have the same configuration file and variables.
    fn is_of(&self, config: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
        self.config.as_deref().and_then(real) == real(config) && self.variables == variables()
    }
}

impl RunDir {
    /// Writes the record of a daemon.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_start_record(&self, record: &StartRecord) -> std::io::Result<()> {
        self.write(FILE, record)
    }

    /// The record of the latest daemon.
    pub fn start_record(&self) -> Option<StartRecord> {
        self.read(FILE)
    }

    /// Whether a daemon or a process supervisor holds this directory.
    pub fn is_held(&self) -> bool {
        [Role::Daemon, Role::Supervisor].into_iter().any(|role| matches!(self.holder(role), Ok(Some(_))))
    }

    /// The run directories of running daemons that were started with that configuration file.
    pub fn started_with(config: &Path) -> Vec<(Self, StartRecord)> {
        let listed = std::fs::read("/proc/net/unix").unwrap_or_default();
        let mut found = Vec::new();
        for path in run_dirs(&listed) {
            let run = Self::at(&path);
            let record = run.start_record().filter(|record| record.is_of(config));
            if let Some(record) = record.filter(|_| is_trusted(&path) && run.is_held()) {
                found.push((run, record));
            }
        }
        found
    }
}

fn variables() -> Vec<Option<String>> {
    let value = |name| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    VARIABLES.into_iter().map(value).collect()
}

/// Directories of strangers are not believed. Root controls the daemons of all users.
fn is_trusted(path: &Path) -> bool {
    let (own, owner) = (Uid::effective(), std::fs::metadata(path).map(|directory| Uid::from_raw(directory.uid())));
    own.is_root() || owner.is_ok_and(|owner| owner == own || owner.is_root())
}

/// The run directories whose sockets are listed, each once. A socket keeps the path at which it was bound.
fn run_dirs(listed: &[u8]) -> Vec<PathBuf> {
    let paths = listed.split(|byte| *byte == b'\n').filter_map(|line| {
        let path = &line[line.iter().position(|byte| *byte == b'/')?..];
        SOCKETS.iter().find_map(|end| path.strip_suffix(end.as_bytes()))
    });
    let mut found: Vec<PathBuf> = paths.map(|path| PathBuf::from(OsString::from_vec(path.to_vec()))).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_directories_are_found_by_their_sockets() {
        let listed = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 26543 /srv/my app/run/control.new/control.sock\n\
            0000000000000000: 00000002 00000000 00000000 0002 01 26544 /srv/my app/run/notify.new/notify.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 26545\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 26546 @/tmp/.X11-unix/X0\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    17 /run/other/control.new/control.sock\n";
        assert_eq!(run_dirs(listed), [Path::new("/run/other"), Path::new("/srv/my app/run")]);
    }

    #[test]
    fn a_record_is_of_one_configuration_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("sexton.toml"), folder.path().join("link.toml"));
        std::fs::write(&file, "").expect("ours");
        std::os::unix::fs::symlink(&file, &link).expect("ours");
        let record = StartRecord::of(Some(&file), Path::new("state"));
        assert!(record.is_of(&file) && record.is_of(&link) && record.state_dir.is_absolute());
        assert!(!record.is_of(&folder.path().join("other.toml")));
        let other = StartRecord { variables: vec![Some("n2".to_owned()), None, None], ..record };
        assert!(!other.is_of(&file));
    }
}
