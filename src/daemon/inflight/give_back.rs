//! Tasks that this node cannot execute after all. They are released without a trace in the history: no attempt was made.

use super::claims::{ClaimState, InFlight, wake};
use crate::{
    daemon::state::wakers::WakeReason,
    domain::task::ClaimedTask,
    store::{Store, StoreError},
};

impl InFlight {
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
