//! What is below a shepherd at the moment, and how much memory it has.

use procfs::process::Process;

use super::tree;

/// The tree of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeStats {
    /// The command itself, as far as it can be seen from here.
    pub command: Option<i32>,
    /// How many processes there are.
    pub processes: usize,
    /// The resident memory of all of them, in bytes. What several of them share counts for each.
    pub resident: u64,
}

impl TreeStats {
    /// Counts what is below the shepherd with that process number.
    pub fn of(shepherd: i32) -> Self {
        let found = tree::descendants_of(shepherd);
        let pages =
            |pid: &i32| Process::new(*pid).and_then(|process| process.statm()).map_or(0, |memory| memory.resident);
        Self {
            command: found.first().copied(),
            processes: found.len(),
            resident: found.iter().map(pages).sum::<u64>() * procfs::page_size(),
        }
    }
}
