//! `node`: the heartbeat and the lease; ends the node's own work when the lease cannot be kept.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::shared::Shared,
    },
    handler::StopReason,
    store::{Heartbeat, StoreError, Wakeup},
};

/// Even at the end of a lease, an answer is waited for so long.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The database's time is asked for once in so many heartbeats.
const CLOCK_EVERY: u64 = 6;

#[derive(Default)]
pub(super) struct NodeModule {
    beats: u64,
}

#[async_trait(?Send)]
impl DaemonModule for NodeModule {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        give_up_expired_work(shared);
        shared.store.set_clock(&shared.clock).await?;
        register(shared, &sign_of_life(shared)).await?;
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        give_up_expired_work(shared);
        // A server that does not answer at all must not keep this node from seeing that its time is over.
        let limit = shared.lease.left().unwrap_or(shared.config().daemon.lease).max(SHORTEST_WAIT);
        match tokio::time::timeout(limit, self.beat(shared)).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} ms", limit.as_millis())).into()),
        }
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(context.config().daemon.heartbeat))
    }
}

impl NodeModule {
    async fn beat(&mut self, shared: &Shared) -> Result<(), StoreError> {
        self.beats += 1;
        if self.beats.is_multiple_of(CLOCK_EVERY) {
            shared.store.set_clock(&shared.clock).await?;
        }
        let beat = sign_of_life(shared);
        let asked_at = Instant::now();
        if !shared.store.heartbeat(&beat).await? {
            tracing::warn!(
                "the other nodes have taken this one for dead; what it runs is interrupted, and it begins anew"
            );
            give_up_work(shared);
            register(shared, &beat).await?;
        }
        let was_over = shared.lease.is_over();
        shared.lease.renew(asked_at, beat.lease);
        if was_over {
            shared.bells.announce(Wakeup::Anything);
        }
        if shared.hand.counts().running > 0 {
            let wanted = shared.store.cancel_requests(&shared.node).await?;
            if !wanted.is_empty() {
                shared.hand.stop(Some(&wanted), StopReason::Cancelled, None);
            }
        }
        Ok(())
    }
}

/// Makes this node known. Until then it was given no task, so what was to be claimed meanwhile is looked for again.
async fn register(shared: &Shared, sign_of_life: &Heartbeat) -> Result<(), StoreError> {
    shared.store.register(sign_of_life).await?;
    shared.bells.announce(Wakeup::Anything);
    Ok(())
}

/// Once the lease is over, other nodes take this one's tasks: going on with them would do the work twice.
fn give_up_expired_work(shared: &Shared) {
    if shared.lease.is_over() {
        let stopped = give_up_work(shared);
        if stopped > 0 {
            tracing::warn!("the lease could not be kept: {stopped} running attempts are interrupted");
        }
    }
}

/// Interrupts what runs, and lets go of what has not begun.
fn give_up_work(shared: &Shared) -> usize {
    shared.hand.let_go(shared.hand.take_waiting(Duration::ZERO));
    shared.hand.stop(None, StopReason::Interrupted, None)
}

fn sign_of_life(shared: &Shared) -> Heartbeat {
    Heartbeat {
        id: shared.node.clone(),
        name: shared.name.clone(),
        host: shared.host.clone(),
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        state: shared.state(),
        lease: shared.config().daemon.lease,
        modules: serde_json::to_value(shared.board.read()).unwrap_or_default(),
    }
}
