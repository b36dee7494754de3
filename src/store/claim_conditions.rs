//! Which claims still hold: the conditions that join claims, as table `d`, with their tasks, as table `t`.
//!
//! The number of a task and its fence are not enough. A database that was restored without its sequences gives a number
//! again, and one that has lost the latest commits may give a fence again.

use super::{Store, dialect::Kind};

/// The columns of a claim under the node that has it now.
pub(super) const HELD_COLUMNS: [(&str, Kind); 4] =
    [("id", Kind::Integer), ("fence", Kind::Integer), ("node", Kind::Text), ("enqueued_at", Kind::Instant)];

impl Store {
    /// The claim still holds, and the node still has it. An adoption gives the claim to another node: what the earlier
    /// node ends after that does not count.
    pub(super) fn claim_holds(&self) -> String {
        format!("{} AND t.node = d.node", self.claim_runs())
    }

    /// The task runs under this very claim, whichever node has it now. The instant of the claim (`d.claimed_at`) stands
    /// for the node: an adoption changes the node, and keeps the instant.
    pub(super) fn claim_stands(&self) -> String {
        format!("{} AND {}", self.claim_runs(), self.dialect.same_instant("t.started_at", "d.claimed_at"))
    }

    fn claim_runs(&self) -> String {
        let same_task = self.dialect.same_instant("t.enqueued_at", "d.enqueued_at");
        format!("t.id = d.id AND t.fence = d.fence AND t.state = 'running' AND {same_task}")
    }
}
