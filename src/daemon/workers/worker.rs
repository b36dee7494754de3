//! A worker: a seat in which one task at a time is executed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix::{Actor, AsyncContext as _, Context, Handler, WrapFuture as _};

use super::execute::execute;
use crate::{
    daemon::{state::shared::Shared, supervision::messages::Assign},
    domain::identity::QueueName,
    store::DropInRuntime,
};

/// One seat of a pool.
pub(in crate::daemon) struct Worker {
    place: WorkerContext,
}

/// Where a worker sits.
#[derive(Clone)]
pub(in crate::daemon) struct WorkerContext {
    pub(in crate::daemon) shared: Arc<Shared>,
    pub(in crate::daemon) queue: QueueName,
    /// The shift of workers to which it belongs.
    pub(in crate::daemon) shift: u64,
    /// Whether it has something to do.
    pub(in crate::daemon) busy: Arc<AtomicBool>,
}

impl Worker {
    pub(in crate::daemon) fn new(place: WorkerContext) -> Self {
        Self { place }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(1);
    }
}

impl Handler<Assign> for Worker {
    type Result = ();

    fn handle(&mut self, Assign(first): Assign, context: &mut Context<Self>) {
        let WorkerContext { shared, queue, shift, busy } = self.place.clone();
        let work = async move {
            // It may have waited in the mailbox for longer than its shift.
            let mut task = (shared.hand.shift() == shift).then_some(first);
            while let Some(this) = task {
                execute(&shared, this).await;
                // Short tasks must not keep the other workers of this thread waiting.
                tokio::task::yield_now().await;
                task = shared.hand.next(&queue, shift);
            }
            busy.store(false, Ordering::Release);
            shared.bells.ring("workers");
        };
        context.spawn(DropInRuntime::new(work).into_actor(self));
    }
}
