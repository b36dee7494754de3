//! What of the hand is running: told to end, left to itself, taken up again.

use std::time::Duration;

use super::{Claim, ClaimState, InFlight};
use crate::{
    domain::{
        command::{OnDaemonStop, answer::Progress},
        task::ClaimedTask,
    },
    handler::{StopReason, TaskContext},
};

/// A running attempt, for people.
#[derive(Clone, Debug)]
pub struct Running {
    /// The task.
    pub task: ClaimedTask,
    /// For how long it has been running.
    pub since: Duration,
}

impl InFlight {
    /// Takes up a running task that nobody follows; it counts as one of its queue's. False if somebody does.
    pub fn adopt(&self, task: &ClaimedTask) -> bool {
        let mut inner = self.lock();
        let claim = task.claim;
        match inner.held.get(&claim) {
            // What was left by a daemon that stops is for the next one.
            _ if inner.closed => return false,
            Some(ClaimState::Left(_)) => {}
            Some(_) => return false,
            None => inner.lanes.entry(task.queue.clone()).or_default().running += 1,
        }
        inner.held.insert(claim, ClaimState::Adopting(task.queue.clone()));
        true
    }

    /// Gives up the adoptions that an interrupted adopter has not carried out.
    pub fn forget_adopting(&self) {
        for held in self.lock().held.values_mut() {
            if let ClaimState::Adopting(queue) = held {
                *held = ClaimState::Left(queue.clone());
            }
        }
    }

    /// Lets a running task go on without anybody who follows it.
    pub fn leave(&self, claim: Claim) {
        let mut inner = self.lock();
        let queue = match inner.held.get(&claim) {
            Some(ClaimState::Running { context, .. }) => context.task().queue.clone(),
            Some(ClaimState::Adopting(queue)) => queue.clone(),
            _ => return,
        };
        inner.held.insert(claim, ClaimState::Left(queue));
        drop(inner);
        self.bells.ring("adopter");
    }

    /// The tasks that nobody follows.
    pub fn left_claims(&self) -> Vec<Claim> {
        let inner = self.lock();
        inner.held.iter().filter(|(_, held)| matches!(held, ClaimState::Left(_))).map(|(claim, _)| *claim).collect()
    }

    /// Lets go of a task that nobody follows, and of which nothing runs.
    pub fn forget(&self, claim: Claim) {
        let mut inner = self.lock();
        if let Some(ClaimState::Left(queue)) = inner.held.get(&claim) {
            let queue = queue.clone();
            inner.held.remove(&claim);
            if let Some(lane) = inner.lanes.get_mut(&queue) {
                lane.running = lane.running.saturating_sub(1);
            }
        }
    }

    /// Leaves those running tasks that are to live through a stop of the daemon.
    pub fn leave_keepers(&self) {
        self.leave_where(|context| {
            let command = context.definition().command.as_ref();
            command.is_some_and(|command| command.on_daemon_stop == Some(OnDaemonStop::Keep))
        });
    }

    /// Lets every command go on by itself that need not end with the daemon: one that starts itself anew takes them up.
    pub fn leave_commands(&self) {
        self.leave_where(|context| {
            let command = context.definition().command.as_ref();
            command.is_some_and(|command| command.on_daemon_stop != Some(OnDaemonStop::Stop))
        });
    }

    /// Leaves everything that goes on by itself, at the very end of a stop.
    pub fn leave_all(&self) {
        self.leave_where(|_| true);
    }

    fn leave_where(&self, test: impl Fn(&TaskContext) -> bool) {
        for held in self.lock().held.values_mut() {
            if let ClaimState::Running { context, .. } = held
                && context.outlives_worker()
                && test(context)
            {
                *held = ClaimState::Left(context.task().queue.clone());
            }
        }
    }

    /// How many tasks go on that nobody follows.
    pub fn left(&self) -> usize {
        self.left_claims().len()
    }

    /// What running tasks have said since this was asked last.
    pub fn take_progress(&self) -> Vec<(Claim, Progress)> {
        let inner = self.lock();
        let said = |(claim, held): (&Claim, &ClaimState)| match held {
            ClaimState::Running { context, .. } => Some((*claim, context.take_progress()?)),
            _ => None,
        };
        inner.held.iter().filter_map(said).collect()
    }

    /// Tells running attempts to end; `only` these tasks, or all.
    pub fn stop(&self, only: Option<&[i64]>, reason: StopReason, grace: Option<Duration>) -> usize {
        let inner = self.lock();
        let mut stopped = 0;
        for (claim, held) in &inner.held {
            if let ClaimState::Running { context, .. } = held
                && only.is_none_or(|only| only.contains(&claim.task_id))
                && context.stop_reason().is_none()
            {
                context.stop(reason, grace.unwrap_or(context.definition().kill_after));
                stopped += 1;
            }
        }
        stopped
    }

    /// Ends every running attempt on record, because nobody is working on it any more, or leaves it if it goes on by
    /// itself; what had not begun waits for other workers. Adopted ones have no worker to lose.
    pub fn interrupt_abandoned(&self, why: &str, now: chrono::DateTime<chrono::Utc>) -> usize {
        let (mut running, mut taken, mut left) = (Vec::new(), Vec::new(), Vec::new());
        let mut inner = self.lock();
        // A thread that hung may wake up, and its workers with it: what they took now would be lost with them.
        inner.shift += 1;
        for (claim, held) in &inner.held {
            match held {
                ClaimState::Running { is_adopted: true, .. } => {}
                ClaimState::Running { context, .. } if context.outlives_worker() => left.push(*claim),
                ClaimState::Running { context, since, .. } => {
                    running.push((context.task().clone(), since.elapsed(), context.definition().kind.clone()));
                }
                ClaimState::Taken(task) => taken.push((**task).clone()),
                ClaimState::Waiting
                | ClaimState::Left(_)
                | ClaimState::Adopting(_)
                | ClaimState::Finished
                | ClaimState::Spooled => {}
            }
        }
        drop(inner);
        for claim in left {
            self.leave(claim);
        }
        for task in taken {
            self.give_back(task);
        }
        let count = running.len();
        for (task, took, kind) in running {
            self.end(task.interrupted(&self.node, Some(kind), why, now, took), Duration::from_secs(1));
        }
        count
    }

    /// What runs, the longest first.
    pub fn running(&self) -> Vec<Running> {
        let mut running: Vec<Running> = self
            .lock()
            .held
            .values()
            .filter_map(|held| match held {
                ClaimState::Running { context, since, .. } => {
                    Some(Running { task: context.task().clone(), since: since.elapsed() })
                }
                _ => None,
            })
            .collect();
        running.sort_by_key(|running| std::cmp::Reverse(running.since));
        running
    }

    /// Whether somebody deals with a claim, or has recorded it a moment ago.
    pub fn is_followed(&self, claim: Claim) -> bool {
        self.lock().held.get(&claim).is_some_and(|held| !matches!(held, ClaimState::Left(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{clock::machine_time, daemon::state::wakers::Wakers};

    fn task(id: i64) -> ClaimedTask {
        ClaimedTask {
            claim: Claim::new(id, 1),
            name: "it".to_owned(),
            queue: "q".into(),
            payload: None,
            attempt: 1,
            max_attempts: None,
            schedule: None,
            due_at: None,
            enqueued_at: machine_time(),
            started_at: machine_time(),
            unreadable: None,
        }
    }

    #[test]
    fn what_was_taken_up_counts_as_running_until_it_is_forgotten() {
        let hand = InFlight::new("n".into(), Wakers::default());
        hand.configure(&BTreeMap::from([("q".into(), 1)]));
        assert!(hand.adopt(&task(1)) && !hand.adopt(&task(1)), "once");
        assert_eq!(hand.ask(&"q".into()).count(), 0, "its queue has no free worker");
        hand.forget_adopting();
        assert_eq!((hand.left_claims(), hand.is_followed(Claim::new(1, 1))), (vec![Claim::new(1, 1)], false));
        assert!(hand.adopt(&task(1)), "again, without counting twice");
        hand.leave(Claim::new(1, 1));
        hand.forget(Claim::new(1, 1));
        assert_eq!(hand.ask(&"q".into()).count(), 1);
        assert!(!hand.holds(Claim::new(1, 1)));
    }

    #[test]
    fn credits_come_back_from_a_claim_that_came_to_nothing() {
        let hand = InFlight::new("n".into(), Wakers::default());
        hand.configure(&BTreeMap::from([("q".into(), 1)]));
        let lost = hand.ask(&"q".into());
        assert_eq!((lost.count(), hand.ask(&"q".into()).count()), (1, 0));
        drop(lost);
        let old = hand.ask(&"q".into());
        hand.forget_asking();
        let new = hand.ask(&"q".into());
        drop(old);
        assert_eq!(
            (new.count(), hand.ask(&"q".into()).count()),
            (1, 0),
            "the old one's credits are not given back twice"
        );
    }

    #[test]
    fn a_daemon_that_stops_takes_nothing_up() {
        let hand = InFlight::new("n".into(), Wakers::default());
        hand.close();
        assert!(!hand.adopt(&task(1)));
    }
}
