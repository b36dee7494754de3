//! The process tree below a shepherd, including processes that called `setsid` and orphans.
//!
//! A shepherd is a subreaper: an orphan below it becomes its child. So a shepherd without children has no descendants,
//! and all its descendants belong to its command.

use std::{collections::HashSet, fs};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::process::{WaitOptions, WaitStatus, wait};

/// The maximum number of searches for new processes before those found are killed.
const MAX_ROUNDS: usize = 50;

/// The children of a process.
fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>();
    lists.flat_map(numbers).map(Pid::from_raw).collect()
}

/// All descendants of a process, the nearest first.
fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// All descendants of the process with that number, the nearest first.
pub(super) fn descendants_of(pid: i32) -> Vec<i32> {
    descendants(Pid::from_raw(pid)).into_iter().map(Pid::as_raw).collect()
}

/// The number of descendants of this process.
pub(super) fn count() -> usize {
    descendants(Pid::this()).len()
}

/// Sends a signal to all descendants of this process. Stopped processes are continued, so that they receive it. Returns
/// their number.
pub(super) fn signal_all(signal: Signal) -> usize {
    let found = descendants(Pid::this());
    for signal in [signal, Signal::SIGCONT] {
        for pid in &found {
            let _ = kill(*pid, signal);
        }
    }
    found.len()
}

/// Kills all descendants of this process. They are stopped first, from the top, until no new ones appear: this catches
/// processes that fork faster than they can be killed.
pub(super) fn kill_all() {
    let mut stopped = HashSet::new();
    for _ in 0..MAX_ROUNDS {
        let found = descendants(Pid::this());
        let new: Vec<Pid> = found.into_iter().filter(|pid| stopped.insert(*pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            let _ = kill(pid, Signal::SIGSTOP);
        }
    }
    for pid in descendants(Pid::this()) {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// Collects the status of all ended children. Returns the status of `wanted`, if it has ended, and whether children
/// remain.
pub(super) fn collect_ended(wanted: Option<Pid>) -> (Option<WaitStatus>, bool) {
    let mut seen = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if wanted.is_some_and(|wanted| wanted.as_raw() == pid.as_raw_pid()) {
                    seen = Some(status);
                }
            }
            Ok(None) => return (seen, true),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return (seen, false),
        }
    }
}

/// Kills the processes of an attempt whose shepherd was killed. They are known by the variables of their environment.
/// Returns their number.
pub(super) fn kill_marked(variables: &[String]) -> usize {
    let mut killed = HashSet::new();
    for _ in 0..MAX_ROUNDS {
        let before = killed.len();
        let Ok(processes) = fs::read_dir("/proc") else { break };
        for entry in processes.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let has =
                |variable: &String| environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes());
            if variables.iter().all(has) && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
                killed.insert(pid);
            }
        }
        if killed.len() == before {
            break;
        }
    }
    killed.len()
}
