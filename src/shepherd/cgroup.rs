//! Control groups (version 2), where the system has delegated one to the daemon: each command gets its own below it.
//!
//! systemd marks what it has delegated (`Delegate=yes`) with an extended attribute; without that mark nothing is
//! touched, however much the daemon may be allowed to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The marks of a delegated group, for services of the system and of a user.
const DELEGATION_MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];
/// The daemon's own processes: controllers can be handed on only by a group without any.
const DAEMON_GROUP: &str = "daemon";

/// The group of one command.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

/// This process's group, if it was delegated. What is in it moves into a group of its own, so that limits can be
/// handed on to the commands.
pub(super) fn delegated() -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?.trim();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let mut path = Path::new(mount).join(own);
    if path.file_name().is_some_and(|name| name == DAEMON_GROUP) {
        path.pop();
    }
    let is_marked = |mark: &&&str| {
        let mut value = [0; 8];
        rustix::fs::getxattr(&path, **mark, &mut value).is_ok_and(|length| &value[..length] == b"1")
    };
    DELEGATION_MARKS.iter().find(is_marked)?;
    let leaf = path.join(DAEMON_GROUP);
    let _ = fs::create_dir(&leaf);
    for process in fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().lines() {
        let _ = fs::write(leaf.join("cgroup.procs"), process);
    }
    Some(path)
}

impl Group {
    /// A group for one command.
    pub(super) fn create(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { path }),
        }
    }

    /// Limits its memory; false where that cannot be done. The controller is handed on only when a limit asks for it: a
    /// group that hands one on takes no processes itself, which a restart of the service may want to put there.
    pub(super) fn limit_memory(&self, bytes: u64) -> bool {
        if let Some(parent) = self.path.parent() {
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
        }
        let limited = fs::write(self.path.join("memory.max"), bytes.to_string()).is_ok();
        // Swapping would only put off the end.
        let _ = fs::write(self.path.join("memory.swap.max"), "0");
        let _ = fs::write(self.path.join("memory.oom.group"), "1");
        limited
    }

    /// Moves the calling process into it.
    pub(super) fn enter(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Ends everything in it.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Whether its limit of memory has ended a process.
    pub(super) fn has_run_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What was allowed to live on keeps it.
        let _ = fs::remove_dir(&self.path);
    }
}
