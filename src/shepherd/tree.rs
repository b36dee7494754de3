//! The whole tree of processes below a shepherd: also what has called `setsid`, and what has lost its parents.
//!
//! A shepherd is a subreaper: whatever loses its parent becomes its child. So a shepherd without children has
//! nothing below it, and what it finds below it is its own.

use std::{collections::HashSet, fs};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::process::{WaitOptions, WaitStatus, wait};

/// However fast something forks, it is looked for no more often than this before what was found is killed.
const MAX_ROUNDS: usize = 50;

/// The children of a process.
fn children(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>();
    lists.flat_map(numbers).map(Pid::from_raw).collect()
}

/// Everything below a process, the nearest first.
fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// Everything below the process with that number, the nearest first.
pub(super) fn descendants_of(pid: i32) -> Vec<i32> {
    descendants(Pid::from_raw(pid)).into_iter().map(Pid::as_raw).collect()
}

/// How many processes are below this one.
pub(super) fn count() -> usize {
    descendants(Pid::this()).len()
}

/// Asks everything below this process to end, by that signal; also what is stopped, which would not hear it.
pub(super) fn signal_all(signal: Signal) {
    let found = descendants(Pid::this());
    for signal in [signal, Signal::SIGCONT] {
        for pid in &found {
            let _ = kill(*pid, signal);
        }
    }
}

/// Ends everything below this process. It is stopped first, from the top, until nothing new is found: what multiplies
/// faster than it can be killed is caught in that way.
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

/// How `wanted` has ended, if it has, and whether children are left. Whatever else has ended is buried on the way.
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

/// Ends the processes of an attempt whose shepherd was killed: they are known by the variables that they were started
/// with. Gives their number.
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
