//! The whole tree of processes below a shepherd: also what has called `setsid`, and what has lost its parents.
//!
//! A shepherd is a subreaper: whatever loses its parent becomes its child. So a shepherd without children has
//! nothing below it, and what it finds below it is its own.

use std::fs;

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// The children of a process.
fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect::<Vec<_>>()).collect()
}

/// Everything below a process, the nearest first.
pub(super) fn below(pid: Pid) -> Vec<Pid> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// Sends a signal to everything below this process; gives their number.
pub(super) fn signal_all(signal: Signal) -> usize {
    let found = below(Pid::this());
    for pid in &found {
        let _ = kill(*pid, signal);
    }
    found.len()
}

/// Buries children that have ended, and tells how `wanted` did, if it did. False if no child is left.
pub(super) fn bury(wanted: Pid, status: &mut Option<WaitStatus>) -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(ended) if ended.pid() == Some(wanted) => *status = Some(ended),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Ends the processes of an attempt whose shepherd was killed: they are known by the variables that they were started
/// with. Gives their number.
pub fn end_strays(variables: &[String]) -> usize {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let mut ended = 0;
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let has = |variable: &String| environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes());
        if variables.iter().all(has) {
            ended += usize::from(kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
        }
    }
    ended
}
