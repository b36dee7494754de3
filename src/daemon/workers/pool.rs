//! A pool: the workers of one queue on this node, on a thread of their own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix::{Actor as _, Addr, Arbiter, prelude::SendError};

use super::worker::{Worker, WorkerContext};
use crate::{
    daemon::{
        state::shared::Shared,
        supervision::{messages::Assign, panics},
    },
    domain::identity::QueueName,
};

/// The workers of one queue. A handler that blocks its thread keeps no other queue waiting.
pub(in crate::daemon) struct Pool {
    queue: QueueName,
    shift: u64,
    shared: Arc<Shared>,
    arbiter: Arbiter,
    seats: Vec<WorkerSlot>,
}

/// One worker as its pool sees it. The address is never cloned: only so does the mailbox's bound hold.
struct WorkerSlot {
    address: Addr<Worker>,
    busy: Arc<AtomicBool>,
}

impl Pool {
    pub(in crate::daemon) fn new(queue: QueueName, shared: Arc<Shared>) -> Self {
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(panics::supervise_this_thread);
        Self { queue, shift: shared.hand.shift(), shared, arbiter, seats: Vec::new() }
    }

    /// Makes it so many workers. Fewer than before: idle ones go at once, busy ones when they are idle.
    pub(in crate::daemon) fn resize(&mut self, workers: usize) {
        let mut index = 0;
        let surplus = self.seats.len().saturating_sub(workers);
        let mut gone = 0;
        self.seats.retain(|seat| {
            index += 1;
            let goes = gone < surplus && !seat.busy.load(Ordering::Acquire);
            gone += usize::from(goes);
            !goes
        });
        while self.seats.len() < workers {
            let seat = self.seat();
            self.seats.push(seat);
        }
    }

    /// Gives waiting tasks to idle workers.
    pub(in crate::daemon) fn assign(&mut self) {
        for index in 0..self.seats.len() {
            if !self.seats[index].address.connected() {
                self.seats[index] = self.seat();
            }
            let seat = &self.seats[index];
            if seat.busy.load(Ordering::Acquire) {
                continue;
            }
            let Some(task) = self.shared.hand.next(&self.queue, self.shift) else { return };
            seat.busy.store(true, Ordering::Release);
            if let Err(SendError::Full(Assign(task)) | SendError::Closed(Assign(task))) =
                seat.address.try_send(Assign(task))
            {
                tracing::error!(queue = %self.queue, "a worker did not take its task; another one will");
                self.shared.hand.give_back(task);
                self.seats[index] = self.seat();
            }
        }
    }

    /// Whether nobody sits here any more.
    pub(in crate::daemon) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    fn seat(&self) -> WorkerSlot {
        let busy = Arc::new(AtomicBool::new(false));
        let place = WorkerContext {
            shared: self.shared.clone(),
            queue: self.queue.clone(),
            shift: self.shift,
            busy: busy.clone(),
        };
        let address = Worker::start_in_arbiter(&self.arbiter.handle(), move |_| Worker::new(place));
        WorkerSlot { address, busy }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}
