//! Running attempts: asked to stop, detached from their worker, and adopted.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::claim_table::{ClaimState, InFlight};
use crate::{
    daemon::state::wakers::WakeReason,
    domain::{
        command::{OnDaemonStop, answer::Progress},
        task::{
            ClaimedTask,
            claim::{Claim, ClaimIdentity},
        },
    },
    handler::{StopReason, TaskContext},
};

/// A running attempt, for people.
#[derive(Clone, Debug)]
pub struct Running {
    /// The task.
    pub task: ClaimedTask,
    /// For how long the attempt has been running.
    pub since: Duration,
}

impl InFlight {
    /// Adopts a running task that no worker follows; it counts as one of its queue's. False if another part of the
    /// daemon has it, or the daemon stops: then it is for the next one.
    pub fn adopt(&self, task: &ClaimedTask) -> bool {
        let mut table = self.lock();
        match table.claims.get(&task.claim) {
            _ if table.is_closed => return false,
            Some(ClaimState::Detached(_)) => {}
            Some(_) => return false,
            None => table.slots.entry(task.queue.clone()).or_default().begin_one(),
        }
        table.claims.insert(task.claim, ClaimState::Adopting(task.queue.clone()));
        true
    }

    /// Cancels the adoptions that an interrupted adopter did not complete.
    pub fn cancel_adoptions(&self) {
        for state in self.lock().claims.values_mut() {
            if let ClaimState::Adopting(queue) = state {
                *state = ClaimState::Detached(queue.clone());
            }
        }
    }

    /// Leaves a task that cannot be adopted now to a later round of the adopter, which is not woken.
    pub fn postpone_adoption(&self, claim: Claim) {
        if let Some(state) = self.lock().claims.get_mut(&claim)
            && let ClaimState::Adopting(queue) = state
        {
            *state = ClaimState::Detached(queue.clone());
        }
    }

    /// Lets a running task continue without a worker that follows it, and wakes the adopter.
    pub fn detach(&self, claim: Claim) {
        let mut table = self.lock();
        let queue = match table.claims.get(&claim) {
            Some(ClaimState::Running { context, .. }) => context.task().queue.clone(),
            Some(ClaimState::Adopting(queue)) => queue.clone(),
            _ => return,
        };
        table.claims.insert(claim, ClaimState::Detached(queue));
        drop(table);
        self.adopter.wake(WakeReason::Detached);
    }

    /// The claims of the tasks that no worker follows.
    pub fn detached_claims(&self) -> Vec<Claim> {
        let table = self.lock();
        let detached = table.claims.iter().filter(|(_, state)| matches!(state, ClaimState::Detached(_)));
        detached.map(|(claim, _)| *claim).collect()
    }

    /// How many tasks continue that no worker follows.
    pub fn detached_count(&self) -> usize {
        self.detached_claims().len()
    }

    /// Removes a detached task of which nothing runs.
    pub fn remove_detached(&self, claim: Claim) {
        let mut table = self.lock();
        if let Some(ClaimState::Detached(queue)) = table.claims.get(&claim) {
            let queue = queue.clone();
            table.claims.remove(&claim);
            if let Some(slots) = table.slots.get_mut(&queue) {
                slots.end_one();
            }
            let pool = table.pool_waker(&queue);
            drop(table);
            pool.wake(WakeReason::SlotFree);
        }
    }

    /// Detaches those commands that live through a stop of the daemon (`on_daemon_stop = "keep"`).
    pub fn detach_kept(&self) {
        self.detach_where(|context| {
            let command = context.definition().command.as_ref();
            command.is_some_and(|command| command.on_daemon_stop == Some(OnDaemonStop::Keep))
        });
    }

    /// Detaches every command that need not stop with the daemon: a daemon that restarts itself adopts them.
    pub fn detach_commands(&self) {
        self.detach_where(|context| {
            let command = context.definition().command.as_ref();
            command.is_some_and(|command| command.on_daemon_stop != Some(OnDaemonStop::Stop))
        });
    }

    /// Detaches everything that runs without the daemon, at the very end of a stop.
    pub fn detach_all(&self) {
        self.detach_where(|_| true);
    }

    fn detach_where(&self, test: impl Fn(&TaskContext) -> bool) {
        for state in self.lock().claims.values_mut() {
            if let ClaimState::Running { context, .. } = state
                && context.outlives_worker()
                && test(context)
            {
                *state = ClaimState::Detached(context.task().queue.clone());
            }
        }
    }

    /// The progress that running attempts have reported since the last call.
    pub fn take_progress(&self) -> Vec<(ClaimIdentity, Progress)> {
        let table = self.lock();
        let reported = |state: &ClaimState| match state {
            ClaimState::Running { context, .. } => Some((context.task().identity(), context.take_progress()?)),
            _ => None,
        };
        table.claims.values().filter_map(reported).collect()
    }

    /// Asks running attempts to stop: those of `only` these tasks, or all. Returns how many had not been asked before.
    pub fn stop(&self, only: Option<&[i64]>, reason: StopReason, grace: Option<Duration>) -> usize {
        let table = self.lock();
        let mut stopped = 0;
        for (claim, state) in &table.claims {
            if let ClaimState::Running { context, .. } = state
                && only.is_none_or(|only| only.contains(&claim.task_id))
                && context.stop_reason().is_none()
            {
                context.stop(reason, grace.unwrap_or(context.definition().kill_after));
                stopped += 1;
            }
        }
        stopped
    }

    /// Finishes every running attempt whose worker is gone as interrupted, or detaches it if it continues without a
    /// worker. Tasks that had not begun wait for other workers. Adopted attempts have no worker to lose. Returns the
    /// number of interrupted attempts.
    pub fn interrupt_abandoned(&self, why: &str, now: DateTime<Utc>) -> usize {
        let (mut running, mut assigned, mut detached) = (Vec::new(), Vec::new(), Vec::new());
        let mut table = self.lock();
        // A thread that hung may wake up, and its workers with it: what they took now would be lost with them.
        table.worker_generation += 1;
        for (claim, state) in &table.claims {
            match state {
                ClaimState::Running { is_adopted: true, .. } => {}
                ClaimState::Running { context, .. } if context.outlives_worker() => detached.push(*claim),
                ClaimState::Running { context, since, .. } => {
                    running.push((context.task().clone(), since.elapsed(), context.definition().kind.clone()));
                }
                ClaimState::Assigned(task) => assigned.push((**task).clone()),
                ClaimState::Waiting
                | ClaimState::Detached(_)
                | ClaimState::Adopting(_)
                | ClaimState::Finished
                | ClaimState::Spooled
                | ClaimState::GivenBack => {}
            }
        }
        drop(table);
        for claim in detached {
            self.detach(claim);
        }
        for task in assigned {
            self.requeue(task);
        }
        let count = running.len();
        for (task, took, kind) in running {
            self.end(task.interrupted(&self.node, Some(kind), why, now, took), Duration::from_secs(1));
        }
        count
    }

    /// The running attempts, the longest first.
    pub fn running(&self) -> Vec<Running> {
        let running = |state: &ClaimState| match state {
            ClaimState::Running { context, since, .. } => {
                Some(Running { task: context.task().clone(), since: since.elapsed() })
            }
            _ => None,
        };
        let mut running: Vec<Running> = self.lock().claims.values().filter_map(running).collect();
        running.sort_by_key(|running| std::cmp::Reverse(running.since));
        running
    }

    /// Whether a claim is in flight and not detached.
    pub fn is_attended(&self, claim: Claim) -> bool {
        self.lock().claims.get(&claim).is_some_and(|state| !matches!(state, ClaimState::Detached(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{daemon::state::wakers::Wakers, domain::identity::QueueName};

    fn in_flight() -> (InFlight, QueueName) {
        let in_flight = InFlight::new("n".into(), &Wakers::default());
        in_flight.configure(&BTreeMap::from([("q".into(), 1)]));
        (in_flight, "q".into())
    }

    #[test]
    fn an_adopted_task_counts_as_running_until_it_is_removed() {
        let (in_flight, queue) = in_flight();
        let claim = ClaimedTask::sample(1).claim;
        assert!(in_flight.adopt(&ClaimedTask::sample(1)) && !in_flight.adopt(&ClaimedTask::sample(1)), "once");
        assert_eq!(in_flight.reserve(&queue).count(), 0, "its queue has no free worker");
        in_flight.cancel_adoptions();
        assert!(in_flight.adopt(&ClaimedTask::sample(1)));
        let _ = in_flight.adopter.take();
        in_flight.postpone_adoption(claim);
        assert!(!in_flight.adopter.is_pending(), "a later round tries again");
        assert_eq!((in_flight.detached_claims(), in_flight.is_attended(claim)), (vec![claim], false));
        assert!(in_flight.adopt(&ClaimedTask::sample(1)), "again, without counting twice");
        in_flight.detach(claim);
        in_flight.remove_detached(claim);
        assert_eq!(in_flight.reserve(&queue).count(), 1);
        assert!(!in_flight.contains(claim));
    }

    #[test]
    fn a_claim_that_runs_is_not_replaced_by_itself() {
        let (in_flight, queue) = in_flight();
        let task = ClaimedTask::sample(1);
        assert!(in_flight.adopt(&task));
        let again = ClaimedTask { attempt: 2, ..task.clone() };
        assert_eq!(in_flight.reserve(&queue).fill(1, vec![again.clone()]), [again], "it is returned to be reported");
        assert!(in_flight.next(&queue, 0).is_none(), "it does not start");
        in_flight.detach(task.claim);
        assert_eq!(in_flight.detached_claims(), [task.claim], "the attempt is still there");
        let later = ClaimedTask { claim: Claim { fence: 2, ..task.claim }, ..task };
        assert_eq!(in_flight.reserve(&queue).fill(1, vec![later.clone()]), []);
        in_flight.remove_detached(task.claim);
        assert_eq!(in_flight.next(&queue, 0), Some(later), "another claim of the task runs beside it");
    }

    #[test]
    fn a_reservation_that_is_not_filled_frees_its_credits() {
        let (in_flight, queue) = in_flight();
        let lost = in_flight.reserve(&queue);
        assert_eq!((lost.count(), in_flight.reserve(&queue).count()), (1, 0));
        drop(lost);
        let old = in_flight.reserve(&queue);
        in_flight.cancel_reservations();
        let new = in_flight.reserve(&queue);
        drop(old);
        assert_eq!((new.count(), in_flight.reserve(&queue).count()), (1, 0), "the old credits are not freed twice");
    }

    #[test]
    fn a_queue_that_is_removed_and_added_again_keeps_its_pool() {
        let (in_flight, queue) = in_flight();
        let pool = in_flight.pool_waker(&queue);
        in_flight.configure(&BTreeMap::new());
        in_flight.configure(&BTreeMap::from([(queue.clone(), 1)]));
        in_flight.reserve(&queue).fill(1, vec![ClaimedTask::sample(1)]);
        assert!(pool.is_pending(), "the pool is woken for its task");
    }

    #[test]
    fn workers_are_retired_only_while_nothing_waits_for_them() {
        let (in_flight, queue) = in_flight();
        let generation = in_flight.worker_generation();
        in_flight.reserve(&queue).fill(1, vec![ClaimedTask::sample(1)]);
        assert!(!in_flight.retire_idle_workers(), "a task waits");
        assert!(in_flight.next(&queue, generation).is_some());
        assert!(!in_flight.retire_idle_workers(), "a task is assigned");
        let (in_flight, queue) = self::in_flight();
        assert!(in_flight.retire_idle_workers());
        in_flight.reserve(&queue).fill(1, vec![ClaimedTask::sample(1)]);
        assert!(in_flight.next(&queue, generation).is_none(), "retired workers get no task");
        assert!(in_flight.next(&queue, in_flight.worker_generation()).is_some());
    }

    #[test]
    fn an_opened_queue_and_an_ended_adoption_wake_the_pool_of_waiting_tasks() {
        let (in_flight, queue) = in_flight();
        let pool = in_flight.pool_waker(&queue);
        in_flight.reserve(&queue).fill(1, vec![ClaimedTask::sample(1)]);
        let _ = pool.take();
        in_flight.close_queues(std::slice::from_ref(&queue));
        assert!(!pool.is_pending());
        in_flight.close_queues(&[]);
        assert!(pool.take().contains(WakeReason::SlotFree), "it is open again");
        assert!(in_flight.adopt(&ClaimedTask::sample(2)));
        in_flight.detach(ClaimedTask::sample(2).claim);
        in_flight.remove_detached(ClaimedTask::sample(2).claim);
        assert!(pool.take().contains(WakeReason::SlotFree), "there is a free slot");
    }

    #[test]
    fn a_daemon_that_stops_adopts_nothing() {
        let (in_flight, _) = in_flight();
        in_flight.close();
        assert!(!in_flight.adopt(&ClaimedTask::sample(1)));
    }
}
