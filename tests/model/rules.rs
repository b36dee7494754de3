//! The rules that the model follows, in the form before and after they were mended.

use sexton::{
    RetryPolicy,
    domain::task::verdict::{Wish, judge},
};
use sexton_entities::states::{Outcome, Verdict};

use crate::state::{Claim, Life, Row};

/// Length of a lease, in ticks of the model's time.
pub(crate) const LEASE: u8 = 2;
/// What a command takes to end after it was asked to, in ticks.
pub(crate) const KILL_AFTER: u8 = 1;

/// How the fence of a claim rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// By one. A failover that loses a claim lets the next claim have the same fence.
    PlusOne,
    /// To the greater of that and the database's time.
    Time,
}

/// What must match for a finish or an adoption to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The number of the task, and the fence.
    FenceOnly,
    /// The node and the enqueue time (which stands for the database as well) too.
    Whole,
}

/// What happens to a claim of what is in flight already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimedAgain {
    /// It takes the place of the first one, finds the directory of its attempt there, and fails.
    Replaces,
    /// It is the same claim, and the attempt goes on.
    Continues,
}

/// When a node that cannot keep its lease stops what must never run twice at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// When the lease is over.
    AtItsEnd,
    /// So early that it has ended by then.
    BeforeItsEnd,
}

/// When a rescuer gives the tasks of other nodes back that it has not seen alive since an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rescue {
    /// As soon as the database answers.
    AtOnce,
    /// One lease later, so that nodes come back to their own first.
    OneLeaseLater,
}

/// All rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) fence: Fence,
    pub(crate) identity: Identity,
    pub(crate) claimed_again: ClaimedAgain,
    pub(crate) stop: Stop,
    pub(crate) rescue: Rescue,
}

impl Rules {
    /// The first version's.
    pub(crate) const EARLIER: Self = Self {
        fence: Fence::PlusOne,
        identity: Identity::FenceOnly,
        claimed_again: ClaimedAgain::Replaces,
        stop: Stop::AtItsEnd,
        rescue: Rescue::AtOnce,
    };
    /// The mended ones.
    pub(crate) const MENDED: Self = Self {
        fence: Fence::Time,
        identity: Identity::Whole,
        claimed_again: ClaimedAgain::Continues,
        stop: Stop::BeforeItsEnd,
        rescue: Rescue::OneLeaseLater,
    };

    /// The fence of the next claim of a task.
    pub(crate) fn next_fence(self, fence: u8, now: u8) -> u8 {
        match self.fence {
            Fence::PlusOne => fence + 1,
            Fence::Time => now.max(fence + 1),
        }
    }

    /// Whether the task still belongs to this claim.
    pub(crate) fn holds(self, row: Row, claim: Claim) -> bool {
        let is_whole = self.identity == Identity::Whole;
        match row.life {
            Life::Running { by, .. } => {
                row.fence == claim.fence && (!is_whole || (by == claim.node && row.enqueued == claim.enqueued))
            }
            Life::Available | Life::Gone => false,
        }
    }

    /// Whether two rows of history with the same task and outcome are of one execution.
    pub(crate) fn is_same(self, one: Claim, other: Claim) -> bool {
        match self.identity {
            Identity::FenceOnly => one.fence == other.fence,
            Identity::Whole => one == other,
        }
    }

    /// When a node begins to stop what must never run twice at once.
    pub(crate) fn stops_at(self, lease_until: u8) -> u8 {
        match self.stop {
            Stop::AtItsEnd => lease_until,
            Stop::BeforeItsEnd => lease_until - KILL_AFTER,
        }
    }

    /// Whether a node begins what must never run twice at once: it must be able to end it within its lease.
    pub(crate) fn may_begin(self, now: u8, lease_until: u8) -> bool {
        self.stop == Stop::AtItsEnd || now < self.stops_at(lease_until)
    }

    /// The first instant at which a rescuer acts that saw the database come back at this time.
    pub(crate) fn rescues_from(self, back_at: u8) -> u8 {
        match self.rescue {
            Rescue::AtOnce => back_at,
            Rescue::OneLeaseLater => back_at + LEASE,
        }
    }
}

/// The daemon's own verdict, for a task that may be tried once.
pub(crate) fn verdict(outcome: Outcome) -> Verdict {
    judge(outcome, Wish::Policy, 1, 1, &RetryPolicy::default(), 0.0).verdict.expect("an attempt that holds its task")
}
