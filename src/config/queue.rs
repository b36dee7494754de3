//! `[queue.NAME]`.

use super::{period, section::Section};
use crate::domain::period::Periods;

/// One queue as this node works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its workers on this node.
    pub workers: usize,
    /// How many of its tasks may run at once in the whole cluster, as far as this node is concerned.
    pub limit: Option<usize>,
    /// When its tasks may begin.
    pub period: Option<String>,
    /// What becomes of its running tasks when that is over.
    pub at_period_end: AtPeriodEnd,
}

/// What becomes of the running tasks of a queue when its period is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtPeriodEnd {
    /// They go on.
    #[default]
    Finish,
    /// They are told to end, and given back; the attempt does not count.
    Stop,
}

impl QueueConfig {
    /// So many workers, and no limit in the cluster.
    pub fn of(workers: usize) -> Self {
        Self { workers, limit: None, period: None, at_period_end: AtPeriodEnd::Finish }
    }

    pub(super) fn read(section: &mut Section<'_>, periods: &Periods) -> Self {
        let workers = section.integer("workers", 0..=10_000);
        if workers.is_none() && section.node("workers").is_none() {
            section.refuse("workers", "it is missing: how many tasks of this queue may run on this node at once?");
        }
        let period = period::named(section, "period", periods);
        let ends = [("finish", AtPeriodEnd::Finish), ("stop", AtPeriodEnd::Stop)];
        let at_period_end = section.choice("at_period_end", &ends).unwrap_or_default();
        if period.is_none() && section.node("at_period_end").is_some() {
            section.refuse("at_period_end", "it belongs to a `period`");
        }
        let limit = section.integer("limit", 1..=1_000_000);
        Self { workers: workers.unwrap_or(1), limit, period, at_period_end }
    }
}
