//! A worker: an actor that makes one attempt at a time.

use std::sync::Arc;

use actix::{Actor, AsyncContext as _, Context, Handler, WrapFuture as _};
use parking_lot::Mutex;

use super::attempt_executor::Executor;
use crate::{
    daemon::{
        inflight::InFlight,
        messages::Execute,
        state::wakers::{WakeReason, Waker},
    },
    store::DropInRuntime,
};

/// Room for one message. A worker is sent one task at a time, so it is never full.
const MAILBOX: usize = 1;

/// A worker of a pool.
pub(super) struct Worker {
    executor: Arc<Executor>,
    in_flight: InFlight,
    place: PoolPlace,
}

/// A worker's place in its pool.
#[derive(Clone)]
pub(super) struct PoolPlace {
    /// Number of the worker, unique in its pool.
    pub(super) number: u64,
    /// The numbers of the free workers.
    pub(super) free: Arc<Mutex<Vec<u64>>>,
    pub(super) pool: Waker,
    /// The generation of workers to which it belongs.
    pub(super) generation: u64,
}

/// A task is with the worker. Dropping it makes the worker free, also if it panics: then the pool finds its mailbox
/// closed, and replaces it.
struct Busy(PoolPlace);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.free.lock().push(self.0.number);
        self.0.pool.wake(WakeReason::SlotFree);
    }
}

impl Worker {
    pub(super) fn new(executor: Arc<Executor>, in_flight: InFlight, place: PoolPlace) -> Self {
        Self { executor, in_flight, place }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Execute> for Worker {
    type Result = ();

    fn handle(&mut self, message: Execute, context: &mut Context<Self>) {
        let busy = Busy(self.place.clone());
        let Some(task) = message.take() else { return };
        // The task waited in the mailbox for longer than this generation of workers lived: another worker gets it.
        if self.in_flight.worker_generation() != self.place.generation {
            return;
        }
        let executor = self.executor.clone();
        let work = async move {
            executor.execute(task).await;
            drop(busy);
        };
        context.spawn(DropInRuntime::new(work).into_actor(self));
    }
}
