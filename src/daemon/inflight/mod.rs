//! What this node has in hand: tasks that it has claimed and not yet recorded.
//!
//! It lives as long as the daemon, outside every module: whichever module falls, what it was working on is
//! still here. It is bounded: nothing is claimed for which there is no free worker (or, for very short tasks,
//! no worker that will be free in a moment) and no room for the result.

pub(in crate::daemon) mod batch;
mod closed;
mod running;
mod slots;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

pub use self::running::Running;
use self::{batch::Batch, slots::Slots};
use super::state::wakers::Wakers;
use crate::{
    domain::{
        identity::{NodeId, QueueName},
        task::{ClaimedTask, FinishedAttempt, claim::Claim},
    },
    handler::TaskContext,
};

/// At most so many tasks are in hand: claimed, running, or not yet recorded.
const ROOM: usize = 5_000;
/// At most so many are asked for by one claim.
const MOST_ASKED: usize = 1_000;

/// Everything that this node has in hand.
#[derive(Clone)]
pub struct InFlight {
    inner: Arc<Mutex<ClaimTable>>,
    bells: Wakers,
    node: NodeId,
}

#[derive(Default)]
struct ClaimTable {
    lanes: BTreeMap<QueueName, Slots>,
    held: HashMap<Claim, ClaimState>,
    finished: VecDeque<FinishedAttempt>,
    /// The claims of ended attempts on disk, by file.
    spooled: HashMap<PathBuf, Vec<Claim>>,
    closed: bool,
    quiet: bool,
    /// Rises whenever all reservations are given up: older ones do not count any more.
    epoch: u64,
    /// Rises whenever workers are given up: those of an earlier shift get nothing more to do.
    shift: u64,
}

/// Credits that are reserved for a claim. Whatever becomes of that, they are free again afterwards: a dispatcher may fall
/// under it, or be replaced and wake up later.
pub struct Reservation {
    hand: InFlight,
    queue: QueueName,
    count: usize,
    epoch: u64,
}

enum ClaimState {
    Waiting,
    /// Given to a worker who has not begun.
    Taken(Box<ClaimedTask>),
    Running {
        context: Arc<TaskContext>,
        since: Instant,
        /// Begun by another daemon or worker, and followed by the adopter.
        is_adopted: bool,
    },
    /// It runs, or has ended, and nobody follows it: the adopter, or the next daemon, takes it up. It has its queue.
    Left(QueueName),
    /// Is being taken up. It has its queue.
    Adopting(QueueName),
    Finished,
    Spooled,
}

impl Reservation {
    /// How many tasks may be claimed.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes in what the claim brought; `found` counts also what it has found and not brought.
    pub fn take_in(self, found: usize, tasks: Vec<ClaimedTask>) {
        let mut guard = self.hand.lock();
        let inner = &mut *guard;
        let any = !tasks.is_empty();
        // Of a dispatcher that was replaced, everything that it had claimed was given back.
        if inner.epoch == self.epoch
            && let Some(lane) = inner.lanes.get_mut(&self.queue)
        {
            lane.hungry = self.count > 0 && found >= self.count;
            for task in tasks {
                inner.held.insert(task.claim, ClaimState::Waiting);
                lane.waiting.push_back((task, Instant::now()));
            }
        }
        drop(guard);
        if any {
            self.hand.bells.ring("workers");
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut inner = self.hand.lock();
        if inner.epoch == self.epoch
            && let Some(lane) = inner.lanes.get_mut(&self.queue)
        {
            lane.claiming = lane.claiming.saturating_sub(self.count);
        }
    }
}

/// How much is in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct InFlightCounts {
    /// Claimed, not started.
    pub waiting: usize,
    /// Running.
    pub running: usize,
    /// Ended, not recorded.
    pub finished: usize,
}

impl InFlight {
    /// An empty hand.
    pub fn new(node: NodeId, bells: Wakers) -> Self {
        Self { inner: Arc::default(), bells, node }
    }

    fn lock(&self) -> MutexGuard<'_, ClaimTable> {
        self.inner.lock()
    }

    /// Sets the number of workers of each queue. A queue that is gone keeps its lane until it is empty.
    pub fn configure(&self, workers: &BTreeMap<QueueName, usize>) {
        let mut inner = self.lock();
        for (queue, lane) in &mut inner.lanes {
            lane.workers = workers.get(queue).copied().unwrap_or(0);
        }
        for (queue, count) in workers {
            inner.lanes.entry(queue.clone()).or_default().workers = *count;
        }
        inner.lanes.retain(|_, lane| lane.workers + lane.running + lane.claiming + lane.waiting.len() > 0);
    }

    /// Claims nothing any more.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Claims nothing for now, or goes on.
    pub fn be_quiet(&self, quiet: bool) {
        self.lock().quiet = quiet;
        self.bells.ring("dispatcher");
    }

    /// Whether it claims nothing for now.
    pub fn is_quiet(&self) -> bool {
        self.lock().quiet
    }

    /// Whether it claims nothing any more.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The queues that have a credit, and whether each probably has more tasks. One without is remembered as hungry.
    pub fn open_queues(&self) -> Vec<(QueueName, bool)> {
        let mut inner = self.lock();
        if inner.closed || inner.quiet || inner.held.len() >= ROOM {
            return Vec::new();
        }
        let mut open = Vec::new();
        for (queue, lane) in inner.lanes.iter_mut().filter(|(_, lane)| lane.workers > 0) {
            if lane.free() > 0 {
                open.push((queue.clone(), lane.hungry));
            } else {
                lane.hungry = true;
            }
        }
        open
    }

    /// Reserves credits of a queue for a claim.
    pub fn ask(&self, queue: &QueueName) -> Reservation {
        let mut inner = self.lock();
        let epoch = inner.epoch;
        let room =
            ROOM.saturating_sub(inner.held.len() + inner.lanes.values().map(|lane| lane.claiming).sum::<usize>());
        let count = inner.lanes.get_mut(queue).map_or(0, |lane| {
            let count = lane.free().min(room).min(MOST_ASKED);
            lane.claiming += count;
            count
        });
        Reservation { hand: self.clone(), queue: queue.clone(), count, epoch }
    }

    /// Whether a claim is on its way.
    pub fn is_claiming(&self) -> bool {
        self.lock().lanes.values().any(|lane| lane.claiming > 0)
    }

    /// Gives up the reservations of a dispatcher that does not come back.
    pub fn forget_asking(&self) {
        let mut inner = self.lock();
        inner.epoch += 1;
        for lane in inner.lanes.values_mut() {
            lane.claiming = 0;
        }
    }

    /// The present shift of workers.
    pub fn shift(&self) -> u64 {
        self.lock().shift
    }

    /// The next task of a queue for a free worker of that shift.
    pub fn next(&self, queue: &QueueName, shift: u64) -> Option<ClaimedTask> {
        let mut inner = self.lock();
        if inner.closed || inner.shift != shift {
            return None;
        }
        let lane = inner.lanes.get_mut(queue)?;
        if lane.shut || lane.running >= lane.workers {
            return None;
        }
        let (task, _) = lane.waiting.pop_front()?;
        lane.running += 1;
        inner.held.insert(task.claim, ClaimState::Taken(Box::new(task.clone())));
        Some(task)
    }

    /// Notes that a task taken by [`InFlight::next`] or [`InFlight::adopt`] runs now.
    pub fn begin(&self, claim: Claim, context: Arc<TaskContext>, is_adopted: bool) {
        self.lock().held.insert(claim, ClaimState::Running { context, since: Instant::now(), is_adopted });
    }

    /// Notes that it has ended. False where it was taken away from its worker before.
    pub fn end(&self, finished: FinishedAttempt, took: Duration) -> bool {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let is_running =
            matches!(inner.held.get(&finished.claim), Some(ClaimState::Running { .. } | ClaimState::Taken(_)));
        if !is_running {
            return false;
        }
        inner.held.insert(finished.claim, ClaimState::Finished);
        let mut ring = false;
        if let Some(lane) = inner.lanes.get_mut(&finished.queue) {
            lane.running = lane.running.saturating_sub(1);
            lane.pace.note(took);
            ring = lane.hungry && lane.free() > 0;
        }
        inner.finished.push_back(finished);
        drop(guard);
        self.bells.ring("recorder");
        if ring {
            self.bells.ring("dispatcher");
        }
        true
    }

    /// Up to `most` ended attempts, to be recorded.
    pub fn take_finished(&self, most: usize) -> Batch {
        let mut inner = self.lock();
        let count = inner.finished.len().min(most);
        Batch::new(self.clone(), inner.finished.drain(..count).collect())
    }

    /// Puts back what could not be recorded.
    pub(in crate::daemon) fn put_back(&self, batch: Vec<FinishedAttempt>) {
        let mut inner = self.lock();
        for finished in batch.into_iter().rev() {
            inner.finished.push_front(finished);
        }
    }

    /// Notes that ended attempts are on disk.
    pub(in crate::daemon) fn note_spooled(&self, path: PathBuf, batch: &[FinishedAttempt]) {
        let mut inner = self.lock();
        let claims: Vec<Claim> = batch.iter().map(|finished| finished.claim).collect();
        inner.held.extend(claims.iter().map(|claim| (*claim, ClaimState::Spooled)));
        inner.spooled.insert(path, claims);
    }

    /// Lets go of ended attempts that were on disk in files of which `is_gone` holds.
    pub fn let_go_of_spooled(&self, is_gone: impl Fn(&Path) -> bool) {
        let mut inner = self.lock();
        let gone: Vec<PathBuf> = inner.spooled.keys().filter(|path| is_gone(path)).cloned().collect();
        for path in gone {
            for claim in inner.spooled.remove(&path).unwrap_or_default() {
                inner.held.remove(&claim);
            }
        }
    }

    /// Gives a task back that [`InFlight::next`] has given to a worker who is not there.
    pub fn give_back(&self, task: ClaimedTask) {
        let mut inner = self.lock();
        // Somebody else may have given it back already, together with its worker.
        if !matches!(inner.held.get(&task.claim), Some(ClaimState::Taken(_))) {
            return;
        }
        inner.held.insert(task.claim, ClaimState::Waiting);
        if let Some(lane) = inner.lanes.get_mut(&task.queue) {
            lane.running = lane.running.saturating_sub(1);
            lane.waiting.push_front((task, Instant::now()));
        }
    }

    /// Lets go of claims that are recorded, or given back.
    pub fn let_go(&self, claims: impl IntoIterator<Item = Claim>) {
        let mut inner = self.lock();
        let was_full = inner.held.len() >= ROOM;
        for claim in claims {
            inner.held.remove(&claim);
        }
        drop(inner);
        if was_full {
            self.bells.ring("dispatcher");
        }
    }

    /// Whether a claim is in hand.
    pub fn holds(&self, claim: Claim) -> bool {
        self.lock().held.contains_key(&claim)
    }

    /// Takes back claimed tasks that have waited for a worker at least so long. They stay in hand until
    /// [`InFlight::let_go`], which follows their release.
    pub fn take_waiting(&self, at_least: Duration) -> Vec<Claim> {
        let mut inner = self.lock();
        let mut taken = Vec::new();
        for lane in inner.lanes.values_mut() {
            let waiting = std::mem::take(&mut lane.waiting);
            let (old, young): (VecDeque<_>, _) =
                waiting.into_iter().partition(|(_, since)| since.elapsed() >= at_least);
            lane.waiting = young;
            lane.hungry |= !old.is_empty();
            taken.extend(old.into_iter().map(|(task, _)| task.claim));
        }
        taken
    }

    /// Whether nothing is in hand, nor about to be.
    pub fn is_empty(&self) -> bool {
        let inner = self.lock();
        inner.held.is_empty() && inner.lanes.values().all(|lane| lane.claiming == 0)
    }

    /// Whether no worker has anything to do.
    pub fn is_at_rest(&self) -> bool {
        self.lock().lanes.values().all(|lane| lane.running == 0 && lane.waiting.is_empty())
    }

    /// How much is in hand.
    pub fn counts(&self) -> InFlightCounts {
        let inner = self.lock();
        let of = |test: fn(&ClaimState) -> bool| inner.held.values().filter(|held| test(held)).count();
        InFlightCounts {
            waiting: of(|held| matches!(held, ClaimState::Waiting | ClaimState::Taken(_))),
            running: of(|held| matches!(held, ClaimState::Running { .. })),
            finished: of(|held| matches!(held, ClaimState::Finished)),
        }
    }

    /// Free and all workers of each queue.
    pub fn workers(&self) -> Vec<(QueueName, usize, usize)> {
        self.lock().lanes.iter().map(|(queue, lane)| (queue.clone(), lane.running, lane.workers)).collect()
    }
}
