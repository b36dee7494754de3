//! A pool: the actor above the workers of one queue on this node.
//!
//! Back-pressure is by credits: the dispatcher claims no more tasks than the queue has free slots, and a worker that is
//! free tells its pool. The mailboxes are a second belt: a task that a worker's mailbox refuses (`Full`, `Closed`) waits
//! again, and the worker is replaced.

use std::{collections::HashMap, sync::Arc};

use actix::{Actor, Addr, Arbiter, AsyncContext as _, Context, Handler, Recipient};
use parking_lot::Mutex;

use super::{
    attempt_executor::Executor,
    worker::{PoolPlace, Worker},
};
use crate::{
    daemon::{
        inflight::InFlight,
        messages::{Execute, GiveBack, Resize, WakeUp},
        state::wakers::Waker,
    },
    domain::identity::QueueName,
    telemetry::panic_messages,
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
    give_back: GiveBack,
    wanted: usize,
    /// Number of the next worker.
    next_number: u64,
    /// Starts a worker at that place.
    start_worker: Box<dyn Fn(PoolPlace) -> Recipient<Execute>>,
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
        arbiter.spawn_fn(panic_messages::supervise_this_thread);
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
    fn new(queue: QueueName, in_flight: InFlight, start_worker: Box<dyn Fn(PoolPlace) -> Recipient<Execute>>) -> Self {
        let generation = in_flight.worker_generation();
        let table = in_flight.clone();
        let give_back: GiveBack = Arc::new(move |task| {
            // Under a later generation, the task may be with another worker already.
            if table.worker_generation() == generation {
                table.requeue(task);
            }
        });
        Self {
            generation,
            waker: in_flight.pool_waker(&queue),
            give_back,
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
            let id = task.claim.task_id;
            if let Err(error) = worker.try_send(Execute::new(task, &self.give_back)) {
                tracing::error!(queue = %self.queue, task.id = id, "a worker refused its task and is replaced: {error}");
                // Full or closed: the message gives the task back.
                drop(error);
                self.workers.remove(&number);
                self.fit();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The panic hook is silent on supervised threads.
        if std::thread::panicking() {
            tracing::error!(queue = %self.queue, "the pool panicked: {}", panic_messages::last_on_this_thread());
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

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

    use actix::{ActorContext as _, prelude::SendError};

    use super::*;
    use crate::{
        daemon::state::wakers::Wakers,
        domain::task::{ClaimedTask, claim::Claim},
    };

    /// A worker that notes its tasks, and never finishes them.
    struct Idle {
        seen: Rc<RefCell<Vec<i64>>>,
        stops: bool,
    }

    impl Actor for Idle {
        type Context = Context<Self>;

        fn started(&mut self, context: &mut Context<Self>) {
            context.set_mailbox_capacity(1);
            if self.stops {
                context.stop();
            }
        }
    }

    impl Handler<Execute> for Idle {
        type Result = ();

        fn handle(&mut self, message: Execute, _: &mut Context<Self>) {
            self.seen.borrow_mut().extend(message.take().map(|task| task.claim.task_id));
        }
    }

    /// A pool of one worker with one claimed task. Its first worker is `first`, all others accept their task.
    fn pool(first: Recipient<Execute>, seen: &Rc<RefCell<Vec<i64>>>) -> (Pool, InFlight) {
        let in_flight = InFlight::new("n".into(), &Wakers::default());
        let queue = QueueName::from("q");
        in_flight.configure(&BTreeMap::from([(queue.clone(), 1)]));
        in_flight.reserve(&queue).fill(1, vec![ClaimedTask::sample(7)]);
        let (first, seen) = (RefCell::new(Some(first)), seen.clone());
        let start_worker = move |_| match first.borrow_mut().take() {
            Some(first) => first,
            None => Idle { seen: seen.clone(), stops: false }.start().recipient(),
        };
        let mut pool = Pool::new(queue, in_flight.clone(), Box::new(start_worker));
        pool.wanted = 1;
        (pool, in_flight)
    }

    /// Refused by the first worker, the task goes to another one, once.
    async fn goes_to_another_worker(first: Recipient<Execute>, seen: Rc<RefCell<Vec<i64>>>) {
        let (mut pool, in_flight) = pool(first, &seen);
        pool.assign();
        assert_eq!(pool.workers.len(), 1, "the worker that refused is replaced");
        assert_eq!(in_flight.counts().waiting, 1, "assigned, and not begun");
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(*seen.borrow(), [7]);
        assert!(in_flight.contains(Claim::new(7, 1)));
        assert_eq!(in_flight.next(&"q".into(), 0), None, "it is with one worker only");
    }

    #[test]
    fn a_task_that_finds_a_full_mailbox_goes_to_another_worker() {
        actix::System::new().block_on(async {
            let ignored = Rc::new(RefCell::new(Vec::new()));
            let full = Idle { seen: ignored, stops: false }.start().recipient::<Execute>();
            tokio::task::yield_now().await;
            // Nothing is handled before the next await: the mailbox fills up.
            let ignore: GiveBack = Arc::new(|_| {});
            while full.try_send(Execute::new(ClaimedTask::sample(0), &ignore)).is_ok() {}
            assert!(matches!(full.try_send(Execute::new(ClaimedTask::sample(0), &ignore)), Err(SendError::Full(_))));
            goes_to_another_worker(full, Rc::default()).await;
        });
    }

    #[test]
    fn a_task_in_the_mailbox_of_a_worker_that_ends_waits_again() {
        actix::System::new().block_on(async {
            let worker = Idle { seen: Rc::default(), stops: true }.start().recipient::<Execute>();
            let (mut pool, in_flight) = pool(worker, &Rc::default());
            // Accepted, and never handled: the worker stops before.
            pool.fit();
            let task = in_flight.next(&"q".into(), 0).unwrap();
            let [worker] = pool.workers.values().collect::<Vec<_>>()[..] else { panic!("one worker") };
            worker.try_send(Execute::new(task, &pool.give_back)).unwrap();
            assert_eq!(in_flight.reserve(&"q".into()).count(), 0);
            while pool.workers.values().any(Recipient::connected) {
                tokio::task::yield_now().await;
            }
            pool.workers.clear();
            assert!(in_flight.next(&"q".into(), 0).is_some(), "it waits for another worker");
        });
    }

    #[test]
    fn a_task_that_finds_a_closed_mailbox_goes_to_another_worker() {
        actix::System::new().block_on(async {
            let closed = Idle { seen: Rc::default(), stops: true }.start().recipient::<Execute>();
            while closed.connected() {
                tokio::task::yield_now().await;
            }
            goes_to_another_worker(closed, Rc::default()).await;
        });
    }
}
