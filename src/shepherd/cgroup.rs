//! Control groups (version 2): where systemd has delegated a group to the daemon, each command gets its own group below
//! it.
//!
//! systemd marks a delegated group (`Delegate=yes`) with an extended attribute. Without the mark no group is touched,
//! even if the daemon may write to it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The marks of a delegated group, for services of the system and of a user.
const DELEGATION_MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];
/// The group of the daemon's own processes: only a group without processes can pass controllers on.
const DAEMON_GROUP: &str = "daemon";

/// The group of one command.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

/// The group of this process, if it was delegated. The daemon's processes move to a group below it, so that controllers
/// can be passed on to the commands.
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
    /// Creates a group for one command.
    pub(super) fn create(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { path }),
        }
    }

    /// Limits its memory. Returns false if that is not possible. The controller is passed on only when a limit needs
    /// it: a group that passes one on takes no processes, and a restart of the service may have to put some there.
    pub(super) fn limit_memory(&self, bytes: u64) -> bool {
        if let Some(parent) = self.path.parent() {
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
        }
        let limited = fs::write(self.path.join("memory.max"), bytes.to_string()).is_ok();
        // With swap, the command would only end later.
        let _ = fs::write(self.path.join("memory.swap.max"), "0");
        let _ = fs::write(self.path.join("memory.oom.group"), "1");
        limited
    }

    /// Moves the calling process into the group.
    pub(super) fn enter(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Kills all processes in the group.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Whether a process was killed because of the memory limit.
    pub(super) fn has_run_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count != "0"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It stays while background processes are in it.
        let _ = fs::remove_dir(&self.path);
    }
}
