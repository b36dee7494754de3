//! The way down: claim nothing more, let what runs finish, give back the rest, record everything, leave.

use std::time::{Duration, Instant};

use actix::Addr;

use super::{
    requests::{Call, Requests},
    signals::Order,
};
use crate::{
    daemon::{
        module::Stage,
        modules::give_back,
        state::shared::Shared,
        supervision::{
            messages::StopStage,
            supervisor::{Supervisor, has_stopped},
        },
    },
    domain::text::duration,
    handler::StopReason,
    service::{ExitReport, Interrupted},
};

/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
/// What was told to end has at most so long, whatever its definition says.
const LAST_GRACE: Duration = Duration::from_secs(5);
/// However long a program may take to end, no stop takes longer.
const LONGEST_STOP: Duration = Duration::from_secs(86_400);
/// The modules have so long to finish their round.
const ROUND: Duration = Duration::from_secs(5);

/// In what manner a daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum ShutdownMode {
    /// What runs has its time.
    Drain,
    /// What runs has little time.
    Hurry,
    /// What runs has no time.
    AtOnce,
    /// As a drain, but commands go on: the daemon will be back in a moment.
    Anew,
}

/// Ends the daemon in good order; gives its last words.
pub(in crate::daemon) async fn drain(
    shared: &Shared,
    supervisor: &Addr<Supervisor>,
    stages: &[(String, Stage)],
    calls: &mut Requests,
    manner: ShutdownMode,
) -> (ExitReport, ShutdownMode) {
    shared.hand.close();
    let stop = |stage| {
        if supervisor.try_send(StopStage(stage)).is_err() {
            tracing::error!("the supervisor does not take the order to stop");
        }
    };
    let mut patience = Patience { manner, hurried: shared.config().daemon.force_timeout };
    stop(Stage::Intake);
    let stopped = || has_stopped(shared, stages, Stage::Intake);
    patience.wait(longest_stop(shared), Duration::ZERO, calls, stopped).await;
    if matches!(patience.manner, ShutdownMode::Hurry | ShutdownMode::AtOnce) {
        shared.processes.hurry();
    }
    until(ROUND, stopped).await;
    if !matches!(tokio::time::timeout(ROUND, give_back(shared, Duration::ZERO)).await, Ok(Ok(()))) {
        tracing::warn!("claimed tasks that had not started will be given back by another node");
    }
    match manner {
        ShutdownMode::Anew => shared.hand.leave_commands(),
        _ => shared.hand.leave_keepers(),
    }
    finish_running(shared, &mut patience, calls).await;
    let interrupted = interrupt_running(shared, patience.manner == ShutdownMode::AtOnce).await;
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
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let manner = if patience.manner == ShutdownMode::Anew && calls.is_stop_waiting() {
        ShutdownMode::Drain
    } else {
        patience.manner
    };
    (ExitReport { pid, interrupted, left: shared.hand.left(), killed: Vec::new() }, manner)
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

/// How long what is asked to end is waited for; it can become less on the way.
struct Patience {
    manner: ShutdownMode,
    /// How long, if it is to hurry.
    hurried: Duration,
}

impl Patience {
    /// Waits for a condition up to `limit`, or `least` if there is no time.
    async fn wait(&mut self, limit: Duration, least: Duration, calls: &mut Requests, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        let limit = match self.manner {
            ShutdownMode::Drain | ShutdownMode::Anew => limit,
            ShutdownMode::Hurry => limit.min(self.hurried),
            ShutdownMode::AtOnce => least,
        };
        let mut end = begun + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let call = tokio::select! {
                () = until(left, &condition) => return,
                call = calls.next() => call,
            };
            match call {
                // Whoever says stop while the daemon starts itself anew means it.
                Some(Call::Order(Order::Drain)) if self.manner == ShutdownMode::Anew => {
                    self.manner = ShutdownMode::Drain
                }
                Some(Call::Order(Order::AtOnce)) | None => {
                    self.manner = ShutdownMode::AtOnce;
                    end = end.min(begun + least);
                }
                Some(Call::Order(Order::Hurry)) if self.manner != ShutdownMode::AtOnce => {
                    tracing::info!("stopping: to hurry, {} at most from now on", duration::text(self.hurried));
                    self.manner = ShutdownMode::Hurry;
                    end = end.min(Instant::now() + self.hurried);
                }
                // Whoever waits for an answer is told that there will be none.
                Some(_) => {}
            }
        }
    }
}

/// Waits for running attempts.
async fn finish_running(shared: &Shared, patience: &mut Patience, calls: &mut Requests) {
    let limit = shared.config().daemon.stop_timeout;
    let running = shared.hand.counts().running;
    if running > 0 {
        tracing::info!("stopping: waiting up to {} for {running} running tasks", duration::text(limit));
    }
    patience.wait(limit, Duration::ZERO, calls, || shared.hand.counts().running == 0).await;
}

/// How long the programs that are kept running may take to end by themselves, all of them at the same time.
fn longest_stop(shared: &Shared) -> Duration {
    let config = shared.config();
    let timeouts = config.modules.values().filter_map(|module| Some(module.process.as_ref()?.stop_timeout));
    timeouts.max().map_or(Duration::ZERO, |timeout| timeout.min(LONGEST_STOP))
}

/// Ends what still runs, and puts it on record as interrupted: another node, or the next start, takes it up. Gives it.
async fn interrupt_running(shared: &Shared, at_once: bool) -> Vec<Interrupted> {
    let grace = if at_once { Duration::ZERO } else { LAST_GRACE };
    let running = shared.hand.running();
    let interrupted = shared.hand.stop(None, StopReason::Interrupted, Some(grace));
    if interrupted > 0 {
        tracing::warn!("{interrupted} tasks still run: they are ended and given back");
        until(grace + Duration::from_secs(2), || shared.hand.counts().running == 0).await;
    }
    running.into_iter().map(|running| Interrupted { id: running.task.claim.task_id, name: running.task.name }).collect()
}

/// Waits for a condition, up to a limit.
async fn until(limit: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !condition() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}
