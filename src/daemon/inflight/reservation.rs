//! Credits that are reserved for a claim.

use std::time::Instant;

use super::claims::{CAPACITY, ClaimState, InFlight};
use crate::{
    daemon::state::wakers::WakeReason,
    domain::{identity::QueueName, task::ClaimedTask},
};

/// Credits of a queue, reserved for one claim. Dropping it frees them, whatever became of the claim: a dispatcher may
/// fail in the middle, or be replaced and wake up later.
pub struct Reservation {
    in_flight: InFlight,
    queue: QueueName,
    count: usize,
    /// The dispatcher's epoch; an older one's credits are free already.
    epoch: u64,
}

/// Maximum number of tasks of one claim.
const MAX_CLAIM: usize = 1_000;

impl InFlight {
    /// Reserves credits of a queue for one claim: as many as it has, at most [`MAX_CLAIM`].
    pub fn reserve(&self, queue: &QueueName) -> Reservation {
        let mut table = self.lock();
        let epoch = table.epoch;
        let reserved: usize = table.slots.values().map(|slots| slots.reserved).sum();
        let room = CAPACITY.saturating_sub(table.claims.len() + reserved);
        let count = table.slots.get_mut(queue).map_or(0, |slots| {
            let count = slots.free().min(room).min(MAX_CLAIM);
            slots.reserved += count;
            count
        });
        Reservation { in_flight: self.clone(), queue: queue.clone(), count, epoch }
    }
}

impl Reservation {
    /// How many tasks may be claimed.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes the claimed tasks in flight, and wakes the pool. `found` also counts tasks that the claim met and did not
    /// take.
    pub fn fill(self, found: usize, tasks: Vec<ClaimedTask>) {
        let mut guard = self.in_flight.lock();
        let table = &mut *guard;
        // The tasks of a dispatcher that was replaced have been released already.
        if table.epoch != self.epoch {
            return;
        }
        let Some(slots) = table.slots.get_mut(&self.queue) else { return };
        slots.has_backlog = self.count > 0 && found >= self.count;
        let any = !tasks.is_empty();
        for task in tasks {
            table.claims.insert(task.claim, ClaimState::Waiting);
            slots.waiting.push_back((task, Instant::now()));
        }
        let pool = any.then(|| table.pool_waker(&self.queue));
        drop(guard);
        if let Some(pool) = pool {
            pool.wake(WakeReason::Claimed);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = self.in_flight.lock();
        if table.epoch == self.epoch
            && let Some(slots) = table.slots.get_mut(&self.queue)
        {
            slots.reserved = slots.reserved.saturating_sub(self.count);
        }
    }
}
