//! What the store counts.

use std::sync::atomic::AtomicU64;

use super::isolated_faults::Isolated;

/// The store's own counters, since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Transactions that were repeated.
    pub(super) retried: AtomicU64,
    /// What was isolated because it is bad.
    pub(super) isolated: Isolated,
}
