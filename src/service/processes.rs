//! The processes of a daemon, as the operating system reports them.

use std::collections::HashMap;

use procfs::{Current as _, WithCurrentSystemInfo as _, process};
use serde::{Deserialize, Serialize};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Process id.
    pub pid: i32,
    /// Process id of the parent.
    pub parent: i32,
    /// Depth in the tree, from 0.
    pub depth: usize,
    /// Command line, or the name in brackets.
    pub title: String,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Time since its start, in milliseconds.
    pub age_ms: u64,
}

/// The trees of these processes, parents first.
pub fn tree(roots: &[i32]) -> Vec<ProcessInfo> {
    let Ok(all) = process::all_processes() else { return Vec::new() };
    let uptime = procfs::Uptime::current().map_or(0.0, |uptime| uptime.uptime);
    let mut known: HashMap<i32, ProcessInfo> = HashMap::new();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in all.flatten() {
        // A process that has just ended is skipped.
        let Ok(stat) = process.stat() else { continue };
        let words = process.cmdline().unwrap_or_default();
        let title = if words.is_empty() { format!("[{}]", stat.comm) } else { words.join(" ").trim().to_owned() };
        let age = uptime - stat.starttime as f64 / procfs::ticks_per_second() as f64;
        children.entry(stat.ppid).or_default().push(stat.pid);
        let memory_bytes = stat.rss_bytes().get();
        let entry = ProcessInfo {
            pid: stat.pid,
            parent: stat.ppid,
            depth: 0,
            title,
            memory_bytes,
            age_ms: (age.max(0.0) * 1_000.0) as u64,
        };
        known.insert(stat.pid, entry);
    }
    let mut found = Vec::new();
    let mut stack: Vec<(i32, usize)> = roots.iter().rev().map(|pid| (*pid, 0)).collect();
    while let Some((pid, depth)) = stack.pop() {
        let Some(process) = known.remove(&pid) else { continue };
        found.push(ProcessInfo { depth, ..process });
        let mut below = children.remove(&pid).unwrap_or_default();
        below.sort_unstable();
        stack.extend(below.into_iter().rev().map(|pid| (pid, depth + 1)));
    }
    found
}

/// Kills the child processes of this process, and waits for their end.
pub fn kill_children() {
    let own = process::Process::myself().and_then(|own| own.tasks());
    let threads = own.into_iter().flatten().flatten();
    for child in threads.filter_map(|thread| thread.children().ok()).flatten() {
        let Some(pid) = i32::try_from(child).ok().and_then(rustix::process::Pid::from_raw) else { continue };
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    }
}

/// Makes the memory and the environment of this process unreadable for other processes of its user, such as the commands
/// it runs: both may hold the database's password. It is not dumped to a core file either (PR_SET_DUMPABLE of prctl(2)).
/// An exec undoes it.
pub fn hide_memory() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!("the commands can read the environment of the daemon: {error}");
    }
}

/// Resident memory of this process, in bytes.
pub fn own_memory() -> Option<u64> {
    let statm = process::Process::myself().ok()?.statm().ok()?;
    Some(statm.resident * procfs::page_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_below_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let own = std::process::id() as i32;
        let found = tree(&[own]);
        child.kill().expect("it runs");
        child.wait().expect("it ran");
        assert_eq!((found[0].pid, found[0].depth), (own, 0));
        let below = found.iter().find(|process| process.pid == child.id() as i32).expect("it is there");
        assert_eq!((below.parent, below.depth), (own, 1));
        assert!(own_memory().expect("it has some") > 1 << 20);
    }
}
