//! The way down: claim nothing more, let what runs finish, give back the rest, record everything, leave.

use std::time::{Duration, Instant};

use actix::Addr;
use tokio::sync::mpsc::Receiver;

use super::{
    messages::StopStage,
    module::Stage,
    modules::give_back,
    shared::Shared,
    signals::Order,
    supervisor::{Supervisor, has_stopped},
};
use crate::{domain::span, handler::StopReason};

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
/// What was told to end has at most so long, whatever its definition says.
const LAST_GRACE: Duration = Duration::from_secs(5);
/// However long a program may take to end, no stop takes longer.
const LONGEST_STOP: Duration = Duration::from_secs(86_400);
/// The modules have so long to finish their round.
const ROUND: Duration = Duration::from_secs(5);

/// Ends the daemon in good order.
pub(super) async fn drain(
    shared: &Shared,
    supervisor: &Addr<Supervisor>,
    stages: &[(String, Stage)],
    orders: &mut Receiver<Order>,
    at_once: bool,
) {
    shared.hand.close();
    let stop = |stage| {
        if supervisor.try_send(StopStage(stage)).is_err() {
            tracing::error!("the supervisor does not take the order to stop");
        }
    };
    stop(Stage::Intake);
    let stopped = || has_stopped(shared, stages, Stage::Intake);
    let at_once = at_once
        || tokio::select! {
            () = until(longest_stop(shared), stopped) => false,
            () = lost_patience(orders) => true,
        };
    if at_once {
        shared.processes.hurry();
    }
    until(ROUND, stopped).await;
    if !matches!(tokio::time::timeout(ROUND, give_back(shared, Duration::ZERO)).await, Ok(Ok(()))) {
        tracing::warn!("claimed tasks that had not started will be given back by another node");
    }
    shared.hand.leave_keepers();
    let at_once = at_once || finish_running(shared, orders).await;
    interrupt_running(shared, at_once).await;
    stop(Stage::Work);
    until(ROUND, || has_stopped(shared, stages, Stage::Work)).await;
    shared.hand.leave_all();
    shared.hand.interrupt_abandoned("the daemon stopped", shared.clock.now());
    shared.bells.ring("recorder");
    until(ROUND, || shared.hand.counts().finished == 0).await;
    stop(Stage::Record);
    until(ROUND, || has_stopped(shared, stages, Stage::Record)).await;
    stop(Stage::Life);
    until(ROUND, || has_stopped(shared, stages, Stage::Life)).await;
    go(shared).await;
    tracing::info!("node {} has stopped", shared.node);
}

/// Takes the node off the list, unless commands of it go on: the next daemon takes them over, as long as the lease has
/// not run out and another node has not taken their tasks.
async fn go(shared: &Shared) {
    shared.processes.leave();
    let left = shared.hand.left();
    if left > 0 {
        tracing::info!("{left} commands go on without a daemon; the next one on this machine takes them over");
        return;
    }
    shared.shepherds.leave();
    let left = tokio::time::timeout(ROUND, shared.store.leave(&shared.node)).await;
    if !matches!(left, Ok(Ok(()))) {
        tracing::warn!("the node could not be taken off the list; its lease will run out");
    }
}

/// Waits for running attempts; true if somebody lost patience.
async fn finish_running(shared: &Shared, orders: &mut Receiver<Order>) -> bool {
    let limit = shared.config().daemon.stop_timeout;
    let running = shared.hand.counts().running;
    if running > 0 {
        tracing::info!("stopping: waiting up to {} for {running} running tasks", span::text(limit));
    }
    tokio::select! {
        () = until(limit, || shared.hand.counts().running == 0) => false,
        () = lost_patience(orders) => true,
    }
}

/// Waits until somebody wants the daemon to end at once.
async fn lost_patience(orders: &mut Receiver<Order>) {
    while !matches!(orders.recv().await, Some(Order::AtOnce) | None) {}
}

/// How long the programs that are kept running may take to end by themselves, all of them at the same time.
fn longest_stop(shared: &Shared) -> Duration {
    let config = shared.config();
    let timeouts = config.modules.values().filter_map(|module| Some(module.process.as_ref()?.stop_timeout));
    timeouts.max().map_or(Duration::ZERO, |timeout| timeout.min(LONGEST_STOP))
}

/// Ends what still runs, and puts it on record as interrupted: another node, or the next start, takes it up.
async fn interrupt_running(shared: &Shared, at_once: bool) {
    let grace = if at_once { Duration::ZERO } else { LAST_GRACE };
    let interrupted = shared.hand.stop(None, StopReason::Interrupted, Some(grace));
    if interrupted > 0 {
        tracing::warn!("{interrupted} tasks still run: they are ended and given back");
        until(grace + Duration::from_secs(2), || shared.hand.counts().running == 0).await;
    }
}

/// Waits for a condition, up to a limit.
async fn until(limit: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !condition() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}
