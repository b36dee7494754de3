//! A worker: a seat in which one task at a time is executed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use actix::{Actor, AsyncContext as _, Context, Handler, WrapFuture as _};

use super::{execute::execute, messages::Assign, shared::Shared};
use crate::store::DroppedAnchored;

/// One seat of a pool.
pub(super) struct Worker {
    place: Place,
}

/// Where a worker sits.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<str>,
    /// The shift of workers to which it belongs.
    pub(super) shift: u64,
    /// Whether it has something to do.
    pub(super) busy: Arc<AtomicBool>,
}

impl Worker {
    pub(super) fn new(place: Place) -> Self {
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
        let Place { shared, queue, shift, busy } = self.place.clone();
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
        context.spawn(DroppedAnchored::new(work).into_actor(self));
    }
}
