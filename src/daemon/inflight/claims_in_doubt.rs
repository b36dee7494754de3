//! Claims in doubt: while the database was away, other nodes may have been given the tasks.

use std::{collections::HashSet, time::Duration};

use super::claim_table::{ClaimState, InFlight, wake};
use crate::{
    domain::task::claim::{Claim, ClaimIdentity},
    handler::{StopReason, TaskContext},
};

/// What became of claims that other nodes hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Running attempts that are asked to stop.
    pub stopped: usize,
    /// Tasks that waited for a worker, and had not begun.
    pub dropped: usize,
}

impl InFlight {
    /// The claims of tasks that run here, or wait for a worker.
    pub fn unfinished_claims(&self) -> Vec<ClaimIdentity> {
        let table = self.lock();
        let waiting = table.slots.values().flat_map(|slots| &slots.waiting).map(|(task, _)| task.identity());
        let running = table.claims.values().filter_map(|state| match state {
            ClaimState::Running { context, .. } => Some(context.task().identity()),
            _ => None,
        });
        waiting.chain(running).collect()
    }

    /// Gives up claims that other nodes hold: stops what runs, and drops what has not begun.
    pub fn give_up(&self, lost: &HashSet<Claim>) -> GivenUp {
        let mut given_up = GivenUp::default();
        let mut guard = self.lock();
        let table = &mut *guard;
        for slots in table.slots.values_mut() {
            let before = slots.waiting.len();
            slots.waiting.retain(|(task, _)| !lost.contains(&task.claim));
            given_up.dropped += before - slots.waiting.len();
        }
        table.claims.retain(|claim, state| !(matches!(state, ClaimState::Waiting) && lost.contains(claim)));
        for claim in lost {
            if let Some(ClaimState::Running { context, .. }) = table.claims.get(claim)
                && context.stop_reason().is_none()
            {
                context.stop(StopReason::Superseded, context.definition().kill_after);
                given_up.stopped += 1;
            }
        }
        given_up
    }

    /// Asks running attempts to stop because the lease cannot be kept: those for which `grace` returns a grace time.
    /// Returns how many had not been asked to stop before.
    pub fn stop_for_lease(&self, grace: impl Fn(&TaskContext) -> Option<Duration>) -> usize {
        let table = self.lock();
        let mut stopped = 0;
        for state in table.claims.values() {
            if let ClaimState::Running { context, .. } = state
                && context.stop_reason().is_none()
                && let Some(grace) = grace(context)
            {
                context.stop(StopReason::LeaseLost, grace);
                stopped += 1;
            }
        }
        stopped
    }

    /// Wakes the pools of waiting tasks: the lease is kept again, and they may begin.
    pub fn wake_waiting(&self) {
        let pools = self.lock().pools_with_waiting_tasks();
        wake(&pools);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{
        clock::uptime,
        daemon::state::wakers::Wakers,
        domain::{
            daemon::lease::Grant,
            identity::QueueName,
            task::{
                ClaimedTask,
                definition::{NOOP, TaskDefinition},
            },
        },
        handler::AppData,
    };

    const LEASE: Duration = Duration::from_secs(30);

    /// Task 1 runs, and task 2 waits.
    fn in_flight() -> (InFlight, QueueName, Arc<TaskContext>) {
        let (in_flight, queue) = (InFlight::new("n".into(), &Wakers::default()), QueueName::from("q"));
        in_flight.configure(&BTreeMap::from([(queue.clone(), 2)]));
        in_flight.reserve(&queue).fill(2, vec![ClaimedTask::sample(1), ClaimedTask::sample(2)]);
        let task = in_flight.next(&queue, 0).expect("a task");
        let definition = Arc::new(TaskDefinition::new("it", NOOP));
        let context = Arc::new(TaskContext::new(task.clone(), definition, AppData::default()));
        in_flight.begin(task.claim, context.clone(), false);
        (in_flight, queue, context)
    }

    fn granted(ago: Duration, is_alone: bool) -> Grant {
        Grant { asked_at: uptime() - ago, length: LEASE, is_alone }
    }

    #[test]
    fn nothing_begins_while_the_lease_is_in_doubt_and_nothing_is_lost() {
        let (in_flight, queue, _) = in_flight();
        in_flight.lease().renew(granted(LEASE, false));
        assert_eq!(in_flight.next(&queue, 0), None);
        let waker = in_flight.pool_waker(&queue);
        let _ = waker.take();
        in_flight.lease().renew(granted(Duration::ZERO, false));
        in_flight.wake_waiting();
        assert!(waker.is_pending());
        assert_eq!(in_flight.next(&queue, 0).map(|task| task.claim), Some(ClaimedTask::sample(2).claim));
    }

    #[test]
    fn a_node_alone_begins_what_it_has_claimed() {
        let (in_flight, queue, _) = in_flight();
        in_flight.lease().renew(granted(LEASE * 100, true));
        assert!(in_flight.next(&queue, 0).is_some());
    }

    #[test]
    fn only_what_others_hold_is_given_up() {
        let (in_flight, queue, context) = in_flight();
        let [one, two] = [1, 2].map(|id| ClaimedTask::sample(id).claim);
        let mut claims: Vec<Claim> = in_flight.unfinished_claims().iter().map(|identity| identity.claim).collect();
        claims.sort();
        assert_eq!(claims, [one, two]);
        assert_eq!(in_flight.give_up(&HashSet::new()), GivenUp::default());
        assert_eq!(in_flight.give_up(&HashSet::from([two])), GivenUp { stopped: 0, dropped: 1 });
        assert!(!in_flight.contains(two) && context.stop_reason().is_none());
        assert_eq!(in_flight.give_up(&HashSet::from([one, two])), GivenUp { stopped: 1, dropped: 0 });
        assert_eq!(context.stop_reason(), Some(StopReason::Superseded));
        assert_eq!(in_flight.give_up(&HashSet::from([one])), GivenUp::default(), "once");
        assert_eq!(in_flight.next(&queue, 0), None);
    }

    #[test]
    fn a_stop_for_the_lease_keeps_an_earlier_reason() {
        let (in_flight, _, context) = in_flight();
        assert_eq!(in_flight.stop_for_lease(|_| None), 0);
        assert_eq!(in_flight.stop_for_lease(|_| Some(Duration::from_secs(3))), 1);
        assert_eq!((context.stop_reason(), context.grace()), (Some(StopReason::LeaseLost), Duration::from_secs(3)));
        assert_eq!(in_flight.stop_for_lease(|_| Some(Duration::ZERO)), 0);
    }
}
