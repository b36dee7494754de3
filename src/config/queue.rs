//! `[queue.NAME]`.

use super::section::Section;

/// One queue as this node works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its workers on this node.
    pub workers: usize,
}

impl QueueConfig {
    pub(super) fn read(_name: &str, section: &mut Section<'_>) -> Self {
        let workers = section.integer("workers", 0..=10_000);
        if workers.is_none() && section.node("workers").is_none() {
            section.refuse("workers", "it is missing: how many tasks of this queue may run on this node at once?");
        }
        Self { workers: workers.unwrap_or(1) }
    }
}
