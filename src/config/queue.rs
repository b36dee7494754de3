//! `[queue.NAME]`.

use super::section::Section;

/// One queue as this node works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its workers on this node.
    pub workers: usize,
    /// How many of its tasks may run at once in the whole cluster, as far as this node is concerned.
    pub limit: Option<usize>,
}

impl QueueConfig {
    /// So many workers, and no limit in the cluster.
    pub fn of(workers: usize) -> Self {
        Self { workers, limit: None }
    }

    pub(super) fn read(_name: &str, section: &mut Section<'_>) -> Self {
        let workers = section.integer("workers", 0..=10_000);
        if workers.is_none() && section.node("workers").is_none() {
            section.refuse("workers", "it is missing: how many tasks of this queue may run on this node at once?");
        }
        Self { workers: workers.unwrap_or(1), limit: section.integer("limit", 1..=1_000_000) }
    }
}
