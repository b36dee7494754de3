//! Credits that are reserved for a claim.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Instant,
};

use super::claim_table::{CAPACITY, ClaimState, ClaimTable, InFlight};
use crate::{
    daemon::state::wakers::WakeReason,
    domain::{
        identity::QueueName,
        task::{ClaimedTask, claim::Claim},
    },
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

impl ClaimTable {
    /// Whether it claims: it is neither closed nor quiet.
    pub(super) fn may_claim(&self) -> bool {
        !self.is_closed && !self.is_quiet
    }
}

impl InFlight {
    /// Reserves credits of a queue for one claim: as many as it has, at most [`MAX_CLAIM`].
    pub fn reserve(&self, queue: &QueueName) -> Reservation {
        let mut table = self.lock();
        let epoch = table.epoch;
        let reserved: usize = table.slots.values().map(|slots| slots.reserved).sum();
        let room = if table.may_claim() { CAPACITY.saturating_sub(table.claims.len() + reserved) } else { 0 };
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
    /// take. Returns the tasks that are in flight already under the very same claim: the attempt that runs goes on, and
    /// its end counts for the claim.
    pub fn fill(self, found: usize, tasks: Vec<ClaimedTask>) -> Vec<ClaimedTask> {
        let (mut again, mut under_others) = (Vec::new(), Vec::new());
        let mut guard = self.in_flight.lock();
        let table = &mut *guard;
        // The tasks of a dispatcher that was replaced have been released already.
        if table.epoch != self.epoch {
            return again;
        }
        let running = if tasks.is_empty() { HashMap::new() } else { running_tasks(table) };
        let Some(slots) = table.slots.get_mut(&self.queue) else { return again };
        slots.has_backlog = self.count > 0 && found >= self.count;
        let any = !tasks.is_empty();
        self.in_flight.attempt_counts().note_claimed(tasks.len());
        for task in tasks {
            match table.claims.entry(task.claim) {
                Entry::Occupied(_) => again.push(task),
                Entry::Vacant(place) => {
                    place.insert(ClaimState::Waiting);
                    under_others.extend(running.get(&task.claim.task_id).map(|earlier| (*earlier, task.name.clone())));
                    slots.waiting.push_back((task, Instant::now()));
                }
            }
        }
        let pool = any.then(|| table.pool_waker(&self.queue));
        drop(guard);
        if let Some(pool) = pool {
            pool.wake(WakeReason::Claimed);
        }
        for (earlier, name) in under_others {
            tracing::error!(
                task.id = earlier.task_id,
                "{name} was claimed again while this node runs it: the database has lost its claim {earlier}; \
                 both attempts run, and the later one counts"
            );
        }
        again
    }
}

/// The claims of the attempts that run, by task.
fn running_tasks(table: &ClaimTable) -> HashMap<i64, Claim> {
    let runs = |state: &ClaimState| {
        matches!(state, ClaimState::Running { .. } | ClaimState::Detached(_) | ClaimState::Adopting(_))
    };
    table.claims.iter().filter(|(_, state)| runs(state)).map(|(claim, _)| (claim.task_id, *claim)).collect()
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
