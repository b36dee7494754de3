//! The table of claims in flight, and the credits of each queue.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use super::{failed_tasks::FailedTasks, queue_slots::Slots};
use crate::{
    daemon::state::{
        attempt_counts::AttemptCounts,
        lease::Lease,
        wakers::{WakeReason, Waker, Wakers},
    },
    domain::{
        identity::{ModuleName, NodeId, QueueName},
        task::{
            ClaimedTask, FinishedAttempt,
            claim::{Claim, ClaimIdentity},
        },
    },
    handler::TaskContext,
};

/// Maximum number of tasks in flight: claimed, running, or not yet recorded.
pub(super) const CAPACITY: usize = 5_000;

/// Everything in flight on this node. Clones share it.
#[derive(Clone)]
pub struct InFlight {
    table: Arc<Mutex<ClaimTable>>,
    pub(super) node: NodeId,
    lease: Arc<Lease>,
    attempts: AttemptCounts,
    pub(super) dispatcher: Waker,
    pub(super) recorder: Waker,
    pub(super) adopter: Waker,
}

#[derive(Default)]
pub(super) struct ClaimTable {
    pub(super) slots: BTreeMap<QueueName, Slots>,
    /// Wakes the pool of each queue. Never removed: a queue that is removed and added again keeps its pool.
    pools: HashMap<QueueName, Waker>,
    pub(super) claims: HashMap<Claim, ClaimState>,
    pub(super) finished: VecDeque<FinishedAttempt>,
    pub(super) failed: FailedTasks,
    /// Claims of tasks that were not begun and are to be released.
    pub(super) given_back: Vec<ClaimIdentity>,
    /// The claims of finished attempts on disk, by file.
    pub(super) spooled: HashMap<PathBuf, Vec<Claim>>,
    pub(super) is_closed: bool,
    pub(super) is_quiet: bool,
    /// Rises when all reservations are cancelled: older ones do not count any more.
    pub(super) epoch: u64,
    /// Rises when the workers are given up: those of an earlier generation get no more tasks.
    pub(super) worker_generation: u64,
}

pub(super) enum ClaimState {
    /// Waits for a worker.
    Waiting,
    /// Given to a worker that has not begun.
    Assigned(Box<ClaimedTask>),
    Running {
        context: Arc<TaskContext>,
        since: Instant,
        /// Begun by another daemon or worker, and followed by the adopter.
        is_adopted: bool,
    },
    /// Runs, or has ended, and no worker follows it: the adopter, or the next daemon, adopts it.
    Detached(QueueName),
    /// Is being adopted.
    Adopting(QueueName),
    Finished,
    Spooled,
    /// Was not begun, and is to be released.
    GivenBack,
}

/// How much is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct InFlightCounts {
    /// Claimed, not started.
    pub waiting: usize,
    /// Running.
    pub running: usize,
    /// Finished or given back, not recorded.
    pub finished: usize,
}

/// The workers of one queue on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueWorkers {
    /// The queue.
    pub queue: QueueName,
    /// How many attempts run.
    pub busy: usize,
    /// How many workers there are to be.
    pub workers: usize,
    /// For how long no worker has become free; none if one is free.
    pub full_for: Option<Duration>,
}

impl ClaimTable {
    /// The waker of a queue's pool.
    pub(super) fn pool_waker(&mut self, queue: &QueueName) -> Waker {
        match self.pools.get(queue) {
            Some(pool) => pool.clone(),
            None => self.pools.entry(queue.clone()).or_default().clone(),
        }
    }

    /// The wakers of the pools for which claimed tasks wait.
    pub(super) fn pools_with_waiting_tasks(&mut self) -> Vec<Waker> {
        let waiting = self.slots.iter().filter(|(_, slots)| !slots.waiting.is_empty());
        let queues: Vec<QueueName> = waiting.map(|(queue, _)| queue.clone()).collect();
        queues.iter().map(|queue| self.pool_waker(queue)).collect()
    }
}

/// Wakes pools, because a task that waits may start now.
pub(super) fn wake<'a>(pools: impl IntoIterator<Item = &'a Waker>) {
    for pool in pools {
        pool.wake(WakeReason::SlotFree);
    }
}

impl InFlight {
    /// Nothing in flight yet.
    pub fn new(node: NodeId, wakers: &Wakers) -> Self {
        let [dispatcher, recorder, adopter] =
            [ModuleName::DISPATCHER, ModuleName::RECORDER, ModuleName::ADOPTER].map(|module| wakers.of(&module));
        Self {
            table: Arc::default(),
            node,
            lease: Arc::default(),
            attempts: AttemptCounts::default(),
            dispatcher,
            recorder,
            adopter,
        }
    }

    /// The node's lease, without which no waiting task begins.
    pub fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// What has been claimed and has ended since the start.
    pub(in crate::daemon) fn attempt_counts(&self) -> &AttemptCounts {
        &self.attempts
    }

    /// The node whose work it is.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ClaimTable> {
        self.table.lock()
    }

    /// Sets the number of workers of each queue. The slots of a removed queue stay until its last task is done.
    pub fn configure(&self, workers: &BTreeMap<QueueName, usize>) {
        let mut table = self.lock();
        for (queue, slots) in &mut table.slots {
            slots.workers = workers.get(queue).copied().unwrap_or(0);
        }
        for (queue, count) in workers {
            table.slots.entry(queue.clone()).or_default().workers = *count;
        }
        table.slots.retain(|_, slots| !slots.is_unused());
        table.slots.values_mut().for_each(Slots::note_load);
        let pools = table.pools_with_waiting_tasks();
        drop(table);
        wake(&pools);
    }

    /// Claims nothing any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Whether it claims nothing any more.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Stops claiming for now, or resumes.
    pub fn set_quiet(&self, quiet: bool) {
        self.lock().is_quiet = quiet;
        self.dispatcher.wake(WakeReason::SlotFree);
    }

    /// Whether it claims nothing for now.
    pub fn is_quiet(&self) -> bool {
        self.lock().is_quiet
    }

    /// The queues with a free credit. Those without one are assumed to have a backlog.
    pub fn claimable_queues(&self) -> Vec<QueueName> {
        let mut table = self.lock();
        if !table.may_claim() || table.claims.len() >= CAPACITY {
            return Vec::new();
        }
        let mut claimable = Vec::new();
        for (queue, slots) in table.slots.iter_mut().filter(|(_, slots)| slots.workers > 0) {
            if slots.free() > 0 {
                claimable.push(queue.clone());
            } else {
                slots.has_backlog = true;
            }
        }
        claimable
    }

    /// Whether a claim is under way.
    pub fn is_claiming(&self) -> bool {
        self.lock().slots.values().any(|slots| slots.reserved > 0)
    }

    /// Cancels the reservations of a dispatcher that does not come back.
    pub fn cancel_reservations(&self) {
        let mut table = self.lock();
        table.epoch += 1;
        for slots in table.slots.values_mut() {
            slots.reserved = 0;
        }
    }

    /// The present generation of workers.
    pub fn worker_generation(&self) -> u64 {
        self.lock().worker_generation
    }

    /// The waker of a queue's pool.
    pub(in crate::daemon) fn pool_waker(&self, queue: &QueueName) -> Waker {
        self.lock().pool_waker(queue)
    }

    /// The next task of a queue for a free worker of that generation.
    pub fn next(&self, queue: &QueueName, worker_generation: u64) -> Option<ClaimedTask> {
        let mut table = self.lock();
        if table.is_closed || table.worker_generation != worker_generation || self.lease.holds_back() {
            return None;
        }
        let slots = table.slots.get_mut(queue)?;
        if slots.is_closed || slots.running >= slots.workers {
            return None;
        }
        let (task, _) = slots.waiting.pop_front()?;
        slots.begin_one();
        table.claims.insert(task.claim, ClaimState::Assigned(Box::new(task.clone())));
        Some(task)
    }

    /// A task from [`InFlight::next`] or [`InFlight::adopt`] runs now.
    pub fn begin(&self, claim: Claim, context: Arc<TaskContext>, is_adopted: bool) {
        self.lock().claims.insert(claim, ClaimState::Running { context, since: Instant::now(), is_adopted });
    }

    /// How many tasks failed on this node and have not succeeded since, up to a thousand.
    pub fn failed_tasks(&self) -> usize {
        self.lock().failed.count()
    }

    /// Tasks were discarded here without an attempt.
    pub fn note_discarded(&self, tasks: u64) {
        self.lock().failed.note_discarded(tasks);
    }

    /// An attempt has finished. False if it had been taken from its worker before.
    pub fn end(&self, finished: FinishedAttempt, took: Duration) -> bool {
        let mut guard = self.lock();
        let table = &mut *guard;
        let Some(state @ (ClaimState::Running { .. } | ClaimState::Assigned(_))) =
            table.claims.get_mut(&finished.claim)
        else {
            return false;
        };
        *state = ClaimState::Finished;
        let (mut wants_tasks, mut pool) = (false, None);
        if let Some(slots) = table.slots.get_mut(&finished.queue) {
            slots.end_one();
            slots.pace.note(took);
            wants_tasks = slots.has_backlog && slots.free() > 0;
            let is_waited_for = !slots.waiting.is_empty();
            pool = is_waited_for.then(|| table.pool_waker(&finished.queue));
        }
        table.failed.note(&finished);
        self.attempts.note(&finished, took);
        table.finished.push_back(finished);
        drop(guard);
        self.recorder.wake(WakeReason::Finished);
        wake(&pool);
        if wants_tasks {
            self.dispatcher.wake(WakeReason::SlotFree);
        }
        true
    }

    /// Makes a task wait again that [`InFlight::next`] gave to a worker that did not take it.
    pub fn requeue(&self, task: ClaimedTask) {
        let mut table = self.lock();
        // It may have been requeued already, together with its worker.
        if !matches!(table.claims.get(&task.claim), Some(ClaimState::Assigned(_))) {
            return;
        }
        table.claims.insert(task.claim, ClaimState::Waiting);
        if let Some(slots) = table.slots.get_mut(&task.queue) {
            slots.end_one();
            let pool = task.queue.clone();
            slots.waiting.push_front((task, Instant::now()));
            let pool = table.pool_waker(&pool);
            drop(table);
            pool.wake(WakeReason::SlotFree);
        }
    }

    /// Removes claims that are recorded, or released.
    pub fn remove(&self, claims: impl IntoIterator<Item = Claim>) {
        let mut table = self.lock();
        let was_full = table.claims.len() >= CAPACITY;
        for claim in claims {
            table.claims.remove(&claim);
        }
        drop(table);
        if was_full {
            self.dispatcher.wake(WakeReason::SlotFree);
        }
    }

    /// Whether a claim is in flight.
    pub fn contains(&self, claim: Claim) -> bool {
        self.lock().claims.contains_key(&claim)
    }

    /// Takes back tasks that have waited for a worker at least this long. They stay in flight until
    /// [`InFlight::remove`], which follows their release.
    pub fn take_waiting(&self, at_least: Duration) -> Vec<ClaimIdentity> {
        let mut table = self.lock();
        let mut taken = Vec::new();
        for slots in table.slots.values_mut() {
            let waiting = std::mem::take(&mut slots.waiting);
            let (old, young): (VecDeque<_>, _) =
                waiting.into_iter().partition(|(_, since)| since.elapsed() >= at_least);
            slots.waiting = young;
            slots.has_backlog |= !old.is_empty();
            taken.extend(old.into_iter().map(|(task, _)| task.identity()));
        }
        taken
    }

    /// Whether nothing is in flight, and no claim is under way.
    pub fn is_empty(&self) -> bool {
        let table = self.lock();
        table.claims.is_empty() && table.slots.values().all(|slots| slots.reserved == 0)
    }

    /// Gives up this generation of workers if none of them has anything to do. From then on they get no task.
    pub fn retire_idle_workers(&self) -> bool {
        let mut table = self.lock();
        let is_idle = table.slots.values().all(|slots| slots.running == 0 && slots.waiting.is_empty());
        table.worker_generation += u64::from(is_idle);
        is_idle
    }

    /// Whether no worker has anything to do.
    pub fn is_idle(&self) -> bool {
        self.lock().slots.values().all(|slots| slots.running == 0 && slots.waiting.is_empty())
    }

    /// How much is in flight.
    pub fn counts(&self) -> InFlightCounts {
        let table = self.lock();
        let count = |test: fn(&ClaimState) -> bool| table.claims.values().filter(|state| test(state)).count();
        InFlightCounts {
            waiting: count(|state| matches!(state, ClaimState::Waiting | ClaimState::Assigned(_))),
            running: count(|state| matches!(state, ClaimState::Running { .. })),
            finished: count(|state| matches!(state, ClaimState::Finished | ClaimState::GivenBack)),
        }
    }

    /// The workers of each queue.
    pub fn workers(&self) -> Vec<QueueWorkers> {
        let workers = |(queue, slots): (&QueueName, &Slots)| QueueWorkers {
            queue: queue.clone(),
            busy: slots.running,
            workers: slots.workers,
            full_for: slots.full_since.map(|since| since.elapsed()),
        };
        self.lock().slots.iter().map(workers).collect()
    }
}
