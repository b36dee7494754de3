//! Tasks that this node releases: they are available again, for any node, and the attempt does not count.

use std::time::Duration;

use super::claim_table::{ClaimState, InFlight, wake};
use crate::{
    daemon::state::wakers::WakeReason,
    domain::{
        task::{ClaimedTask, claim::ClaimIdentity},
        text::plural::counted,
    },
    store::{RunningClaim, Store, StoreError},
};

impl InFlight {
    /// Releases tasks that have waited for a worker at least this long.
    ///
    /// # Errors
    /// If the database refuses or does not answer. The tasks are not in flight any more all the same: the dispatcher
    /// finds them by [`InFlight::release_lost`].
    pub async fn release_waiting(&self, store: &Store, at_least: Duration) -> Result<(), StoreError> {
        let waiting = self.take_waiting(at_least);
        if waiting.is_empty() {
            return Ok(());
        }
        self.remove(waiting.iter().map(|waiting| waiting.claim));
        store.release(&self.node, &waiting).await?;
        self.dispatcher.wake(WakeReason::SlotFree);
        Ok(())
    }

    /// Releases tasks that have been this node's for at least this long according to the database, and that are not in
    /// flight: the answer to their claim was lost, or the dispatcher failed before it took them in flight.
    ///
    /// # Errors
    /// If the database refuses or does not answer.
    pub async fn release_lost(&self, store: &Store, at_least: Duration) -> Result<(), StoreError> {
        // The answer to a claim may still be on its way. The dispatcher itself calls this with zero, before it claims.
        if !at_least.is_zero() && self.is_claiming() {
            return Ok(());
        }
        let claimed = store.running_of(&self.node).await?;
        let is_lost =
            |running: &RunningClaim| running.running_ms >= at_least.as_millis() as i64 && !self.contains(running.claim);
        let lost: Vec<ClaimIdentity> =
            claimed.into_iter().filter(is_lost).filter_map(|running| running.identity()).collect();
        // They never began, so that history has nothing to say of them.
        let released = store.release(&self.node, &lost).await?;
        if released > 0 {
            let tasks = counted(usize::try_from(released).unwrap_or(usize::MAX), "task");
            tracing::warn!(
                "released {tasks}: the connection broke before the answer to their claim arrived, and none was started"
            );
        }
        Ok(())
    }

    /// Gives a task back that a worker has, and did not begin. The recorder releases it.
    pub fn give_back(&self, task: &ClaimedTask) {
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(state @ (ClaimState::Running { .. } | ClaimState::Assigned(_))) = table.claims.get_mut(&task.claim)
        else {
            return;
        };
        *state = ClaimState::GivenBack;
        table.given_back.push(task.identity());
        let mut pool = None;
        if let Some(slots) = table.slots.get_mut(&task.queue) {
            slots.end_one();
            let is_waited_for = !slots.waiting.is_empty();
            pool = is_waited_for.then(|| table.pool_waker(&task.queue));
        }
        drop(guard);
        self.recorder.wake(WakeReason::Finished);
        wake(&pool);
    }

    /// Releases what was given back. Returns the number of tasks.
    ///
    /// # Errors
    /// If the database refuses or does not answer. The tasks stay in flight, and the next call tries again.
    pub async fn release_given_back(&self, store: &Store) -> Result<u64, StoreError> {
        let claims = self.lock().given_back.clone();
        if claims.is_empty() {
            return Ok(0);
        }
        let released = store.release(&self.node, &claims).await?;
        self.lock().given_back.retain(|claim| !claims.contains(claim));
        self.remove(claims.iter().map(|identity| identity.claim));
        self.dispatcher.wake(WakeReason::SlotFree);
        Ok(released)
    }
}
