//! `node`: the heartbeat and the lease; ends the node's own work when the lease cannot be kept.

use async_trait::async_trait;

use crate::{
    clock::machine_time,
    daemon::module::{DaemonModule, ModuleContext, Next},
    daemon::shared::Shared,
    handler::StopReason,
    store::Heartbeat,
};

/// The database's time is asked for once in so many heartbeats.
const CLOCK_EVERY: u64 = 6;

#[derive(Default)]
pub(super) struct Node {
    beats: u64,
}

#[async_trait(?Send)]
impl DaemonModule for Node {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        give_up_expired_work(shared);
        let before = machine_time();
        let database = shared.store.now().await?;
        shared.clock.correct(database, before + (machine_time() - before) / 2);
        shared.store.register(&sign_of_life(shared)).await?;
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        give_up_expired_work(shared);
        self.beats += 1;
        if self.beats.is_multiple_of(CLOCK_EVERY) {
            let before = machine_time();
            let database = shared.store.now().await?;
            shared.clock.correct(database, before + (machine_time() - before) / 2);
        }
        let beat = sign_of_life(shared);
        if !shared.store.heartbeat(&beat).await? {
            tracing::warn!(
                "the other nodes have taken this one for dead; what it runs is interrupted, and it begins anew"
            );
            shared.hand.stop(None, StopReason::Interrupted, None);
            shared.store.register(&beat).await?;
        }
        shared.lease.renew();
        if shared.hand.counts().running > 0 {
            let wanted = shared.store.cancel_requests(&shared.node).await?;
            if !wanted.is_empty() {
                shared.hand.stop(Some(&wanted), StopReason::Cancelled, None);
            }
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(context.config().daemon.heartbeat))
    }
}

/// Once the lease is over, other nodes take this one's tasks: going on with them would do the work twice.
fn give_up_expired_work(shared: &Shared) {
    if shared.lease.kept_for() > shared.config().daemon.lease {
        let stopped = shared.hand.stop(None, StopReason::Interrupted, None);
        if stopped > 0 {
            tracing::warn!("the lease could not be kept: {stopped} running attempts are interrupted");
        }
    }
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
