//! The claims of the dispatcher: from several queues together where the database can do that. A queue with limits, or with a position
//! behind which its search begins, is claimed from alone.

use std::{collections::VecDeque, time::Instant};

use super::Dispatcher;
use crate::{
    daemon::{fault_point::fault_point, inflight::Reservation, module::ModuleContext, state::wakers::WakeReason},
    domain::{
        identity::{ModuleName, QueueName},
        task::limits::ConcurrencyLimits,
    },
    store::{ClaimResult, OnStale, Store, StoreError},
};

/// With more queues than this that are claimed from alone, a wake-up is a reason to ask which queues have tasks.
const MAX_UNASKED: usize = 4;
/// From at most this number of queues one statement claims.
const MAX_QUEUES: usize = 32;
/// From this number of tasks on, a statement claims from no further queue.
const MAX_TASKS: usize = 2_000;

impl Dispatcher {
    /// Whether claims from these queues cost hardly more than to ask which of them have tasks.
    pub(super) fn may_claim_unasked(&self, store: &Store, queues: &[QueueName]) -> bool {
        let limits = self.in_force.limits();
        let alone = queues.iter().filter(|queue| !self.is_joinable(store, &limits, queue)).count();
        store.claims_unasked() && alone <= MAX_UNASKED && queues.len() - alone <= MAX_QUEUES
    }

    /// Claims tasks of these queues. What is wrong with one of them does not keep the others back.
    /// Returns whether there were any.
    pub(super) async fn claim_each(&mut self, context: &ModuleContext, queues: Vec<QueueName>) -> anyhow::Result<bool> {
        let store = context.store();
        let limits = self.in_force.limits();
        let (together, mut alone): (Vec<QueueName>, Vec<QueueName>) =
            queues.into_iter().partition(|queue| self.is_joinable(store, &limits, queue));
        let mut together = VecDeque::from(together);
        if together.len() == 1 {
            alone.extend(together.pop_front());
        }
        let mut has_found = false;
        while !together.is_empty() {
            let reserved = self.reserve_several(store, &mut together, &mut alone);
            let queues: Vec<QueueName> = reserved.iter().map(|(queue, _)| queue.clone()).collect();
            match self.claim_together(store, reserved).await {
                // One of their tasks: the claims from each queue tell which.
                Err(StoreError::Refused(_)) => alone.extend(queues),
                claimed => {
                    if claimed.is_err() {
                        self.hot.retain(|queue| !queues.contains(queue));
                    }
                    has_found |= store.isolated().part("claims of several queues", claimed)?;
                }
            }
            context.progress();
        }
        for queue in alone {
            let claimed = self.claim(store, &queue).await;
            if claimed.is_err() {
                self.hot.remove(&queue);
            }
            has_found |= store.isolated().part(format_args!("claims of queue {queue}"), claimed)?;
            context.progress();
        }
        Ok(has_found)
    }

    /// Whether one statement can claim from this queue and others.
    fn is_joinable(&self, store: &Store, limits: &ConcurrencyLimits, queue: &QueueName) -> bool {
        store.claims_together() && limits.is_unlimited(queue) && self.front.position(queue).is_none()
    }

    /// Reserves credits of the next queues for one statement. Those that got a limit meanwhile are left to claims of their own.
    fn reserve_several(
        &mut self,
        store: &Store,
        queues: &mut VecDeque<QueueName>,
        alone: &mut Vec<QueueName>,
    ) -> Vec<(QueueName, Reservation)> {
        let limits = self.in_force.limits();
        let (mut reserved, mut tasks) = (Vec::new(), 0);
        while reserved.len() < MAX_QUEUES && tasks < MAX_TASKS {
            let Some(queue) = queues.pop_front() else { break };
            if !self.is_joinable(store, &limits, &queue) {
                alone.push(queue);
                continue;
            }
            if self.is_too_late(&queue) {
                continue;
            }
            let reservation = self.in_flight.reserve(&queue);
            match reservation.count() {
                0 if reserved.is_empty() => {}
                // The others of this statement may have reserved all the room that there is. It is in the next one.
                0 => {
                    queues.push_front(queue);
                    break;
                }
                count => {
                    tasks += count;
                    reserved.push((queue, reservation));
                }
            }
        }
        reserved
    }

    /// Whether nothing of a queue may begin now, because the next heartbeat is due: what must end before the lease does begins
    /// after it.
    fn is_too_late(&mut self, queue: &QueueName) -> bool {
        let grace = self.in_force.longest_grace(queue);
        let is_late = grace.is_some_and(|grace| self.in_flight.lease().is_late_for(grace));
        if is_late {
            self.hot.remove(queue);
            self.outlook.note_found();
        }
        is_late
    }

    /// Claims tasks of several queues without limits. Returns whether there were any.
    async fn claim_together(
        &mut self,
        store: &Store,
        reserved: Vec<(QueueName, Reservation)>,
    ) -> Result<bool, StoreError> {
        if reserved.is_empty() {
            return Ok(false);
        }
        let wanted: Vec<_> = reserved.iter().map(|(queue, reservation)| (queue.clone(), reservation.count())).collect();
        let (names, began) = (self.names(), Instant::now());
        let claimed = store.claim_queues(&names, &self.node, &wanted).await;
        let mut claimed = claimed.inspect_err(|_| self.is_in_doubt = true)?;
        self.front.note_claim(Instant::now(), began.elapsed());
        let mut result = Ok(false);
        for (queue, reservation) in reserved {
            let claimed = claimed.remove(&queue).unwrap_or_default();
            let taken = self.take(store, &queue, reservation, claimed, true).await;
            // All queues get what was claimed for them, whatever becomes of one of them.
            match store.isolated().part(format_args!("claims of queue {queue}"), taken) {
                Ok(has_found) => result = result.map(|before| before | has_found),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Claims tasks of one queue. Returns whether there were any.
    async fn claim(&mut self, store: &Store, queue: &QueueName) -> Result<bool, StoreError> {
        if self.is_too_late(queue) {
            return Ok(false);
        }
        let reservation = self.in_flight.reserve(queue);
        let wanted = reservation.count();
        if wanted == 0 {
            return Ok(false);
        }
        let limits = self.in_force.limits();
        let is_unlimited = limits.is_unlimited(queue);
        self.keys.go_on(store, &limits, queue).await?;
        let (names, began) = (self.names(), Instant::now());
        let claimed = match (is_unlimited, self.front.position(queue)) {
            (true, Some(position)) => store.claim_behind(position, &names, &self.node, queue, wanted).await,
            (true, None) => store.claim_known(&names, &self.node, queue, wanted).await,
            (false, _) => store.claim_known_within(&limits, &names, &self.node, queue, wanted).await,
        };
        let claimed = claimed.inspect_err(|_| self.is_in_doubt = true)?;
        self.front.note_claim(Instant::now(), began.elapsed());
        // A claim takes a few tasks of each key only.
        let is_whole = !limits.keys().is_fair(queue);
        // Tasks that a limit keeps back can be claimed as soon as another one ends, here or elsewhere.
        if !is_unlimited {
            self.outlook.note_found();
        }
        self.take(store, queue, reservation, claimed, is_whole).await
    }

    /// Takes the claimed tasks of a queue in flight. `is_whole` says that the claim took all that it could. Returns whether there
    /// were any.
    async fn take(
        &mut self,
        store: &Store,
        queue: &QueueName,
        reservation: Reservation,
        claimed: ClaimResult,
        is_whole: bool,
    ) -> Result<bool, StoreError> {
        self.tokens.note(queue, &claimed);
        let found = claimed.tasks.len() + claimed.postponed;
        if found > 0 {
            self.outlook.note_found();
        }
        if !claimed.tasks.is_empty() {
            fault_point("tasks claimed");
            self.outlook.note_claimed();
        }
        if claimed.postponed > 0 {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
        // Tasks that were only sorted into `scheduled` stood before others.
        let has_more = found == reservation.count() || claimed.postponed > 0 || !is_whole && found > 0;
        self.front.note_claimed(queue, &claimed.position, has_more);
        match has_more {
            true => self.hot.insert(queue.clone()),
            false => self.hot.remove(queue),
        };
        for again in reservation.fill(found, claimed.tasks) {
            tracing::error!(
                task.id = again.claim.task_id,
                "{} was claimed again under the claim {} that this node has already: the database has lost that claim; \
                 the attempt that runs goes on",
                again.name,
                again.claim
            );
            store.finish(&[again.claimed_again(&self.node)], OnStale::Record).await?;
        }
        Ok(found > 0)
    }
}
