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
    shared: Arc<Shared>,
    queue: Arc<str>,
    busy: Arc<AtomicBool>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, queue: Arc<str>, busy: Arc<AtomicBool>) -> Self {
        Self { shared, queue, busy }
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
        let (shared, queue, busy) = (self.shared.clone(), self.queue.clone(), self.busy.clone());
        let work = async move {
            let mut task = Some(first);
            while let Some(this) = task {
                execute(&shared, this).await;
                // Short tasks must not keep the other workers of this thread waiting.
                tokio::task::yield_now().await;
                task = shared.hand.next(&queue);
            }
            busy.store(false, Ordering::Release);
            shared.bells.ring("workers");
        };
        context.spawn(DroppedAnchored::new(work).into_actor(self));
    }
}
