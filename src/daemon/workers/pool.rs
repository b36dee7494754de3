//! A pool: the actor above the workers of one queue on this node.
//!
//! Back-pressure is by credits: the dispatcher claims no more tasks than the queue has free slots, and a worker that is
//! free tells its pool. The mailboxes are a second belt: a task that a worker's mailbox refuses (`Full`, `Closed`) waits
//! again, and the worker is replaced.

use std::{collections::HashMap, sync::Arc};

use actix::{Actor, Addr, Arbiter, AsyncContext as _, Context, Handler, Recipient, prelude::SendError};
use parking_lot::Mutex;

use super::{
    execute::Executor,
    worker::{PoolPlace, Worker},
};
use crate::{
    daemon::{
        inflight::InFlight,
        messages::{Execute, Resize, WakeUp},
        state::wakers::Waker,
        supervision::panics,
    },
    domain::identity::QueueName,
};

/// Room for a wake-up and a new size; further wake-ups are reasons in the [`Waker`].
const MAILBOX: usize = 4;

/// The workers of one queue. All of them share one thread, so a handler that blocks it delays no other queue.
pub(super) struct Pool {
    queue: QueueName,
    /// The generation of workers; tasks are given to the present one only.
    generation: u64,
    in_flight: InFlight,
    workers: HashMap<u64, Recipient<Execute>>,
    free: Arc<Mutex<Vec<u64>>>,
    waker: Waker,
    wanted: usize,
    /// Number of the next worker.
    next_number: u64,
    /// Starts a worker at that place.
    start_worker: Box<dyn Fn(PoolPlace) -> Recipient<Execute> + Send>,
}

/// A pool and its thread, as module `workers` holds it. Dropping it ends the thread.
pub(in crate::daemon) struct PoolHandle {
    arbiter: Arbiter,
    address: Addr<Pool>,
    workers: usize,
}

impl PoolHandle {
    /// Starts a pool without workers on a thread of its own.
    pub(in crate::daemon) fn start(queue: &QueueName, executor: &Arc<Executor>, in_flight: &InFlight) -> Self {
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(panics::supervise_this_thread);
        let (executor, in_flight, queue) = (executor.clone(), in_flight.clone(), queue.clone());
        let address = Pool::start_in_arbiter(&arbiter.handle(), move |_| {
            let flying = in_flight.clone();
            let start_worker = move |place| Worker::new(executor.clone(), flying.clone(), place).start().recipient();
            Pool::new(queue, in_flight, Box::new(start_worker))
        });
        Self { arbiter, address, workers: 0 }
    }

    /// Whether the pool lives.
    pub(in crate::daemon) fn is_connected(&self) -> bool {
        self.address.connected()
    }

    /// Makes the pool have that number of workers. A busy worker that is too many ends after its attempt.
    pub(in crate::daemon) fn resize(&mut self, workers: usize) {
        // A full mailbox is emptied in a moment; the next round of module `workers` tries again.
        if self.workers != workers && self.address.try_send(Resize(workers)).is_ok() {
            self.workers = workers;
        }
    }
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

impl Pool {
    fn new(
        queue: QueueName,
        in_flight: InFlight,
        start_worker: Box<dyn Fn(PoolPlace) -> Recipient<Execute> + Send>,
    ) -> Self {
        Self {
            generation: in_flight.worker_generation(),
            waker: in_flight.pool_waker(&queue),
            queue,
            in_flight,
            workers: HashMap::new(),
            free: Arc::default(),
            wanted: 0,
            next_number: 0,
            start_worker,
        }
    }

    fn add_worker(&mut self) {
        let place = PoolPlace {
            number: self.next_number,
            free: self.free.clone(),
            pool: self.waker.clone(),
            generation: self.generation,
        };
        self.next_number += 1;
        self.free.lock().push(place.number);
        self.workers.insert(place.number, (self.start_worker)(place));
    }

    /// Adds missing workers, and removes free ones that are too many.
    fn fit(&mut self) {
        while self.workers.len() < self.wanted {
            self.add_worker();
        }
        while self.workers.len() > self.wanted {
            let Some(number) = self.free.lock().pop() else { return };
            self.workers.remove(&number);
        }
    }

    /// Gives waiting tasks to free workers, until there are no more of either.
    fn assign(&mut self) {
        let _ = self.waker.take();
        self.fit();
        loop {
            let Some(number) = self.free.lock().pop() else { return };
            let Some(worker) = self.workers.get(&number) else { continue };
            let Some(task) = self.in_flight.next(&self.queue, self.generation) else {
                return self.free.lock().push(number);
            };
            if let Err(SendError::Full(Execute(task)) | SendError::Closed(Execute(task))) =
                worker.try_send(Execute(task))
            {
                tracing::error!(queue = %self.queue, task.id = task.id, "a worker refused its task and is replaced");
                self.in_flight.requeue(task);
                self.workers.remove(&number);
                self.fit();
            }
        }
    }
}

impl Actor for Pool {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        self.waker.attach(context.address().recipient());
    }
}

impl Handler<WakeUp> for Pool {
    type Result = ();

    fn handle(&mut self, _: WakeUp, _: &mut Context<Self>) {
        self.assign();
    }
}

impl Handler<Resize> for Pool {
    type Result = ();

    fn handle(&mut self, Resize(workers): Resize, _: &mut Context<Self>) {
        self.wanted = workers;
        self.assign();
    }
}
