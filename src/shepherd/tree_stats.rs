//! Tree statistics: the processes below a shepherd, and their memory.

use procfs::process::Process;

use super::process_tree;

/// The process tree of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeStats {
    /// The process number of the command, if it is visible from here.
    pub command: Option<i32>,
    /// The number of processes.
    pub processes: usize,
    /// The resident memory of all processes, in bytes. Shared memory counts for each process.
    pub resident: u64,
}

impl TreeStats {
    /// Reads the tree below the shepherd with that process number.
    pub fn of(shepherd: i32) -> Self {
        let found = process_tree::descendants_of(shepherd);
        let pages =
            |pid: &i32| Process::new(*pid).and_then(|process| process.statm()).map_or(0, |memory| memory.resident);
        Self {
            command: found.first().copied(),
            processes: found.len(),
            resident: found.iter().map(pages).sum::<u64>() * procfs::page_size(),
        }
    }
}
