//! When a daemon that was started with `--once` or `--for` has done its work.

use std::time::Duration;

use sexton_entities::states::TaskState;

use crate::{
    daemon::{
        components::Components,
        state::{module_status::ModuleState, wakers::WakeReason},
    },
    domain::{
        identity::{ModuleName, QueueName},
        text::plural::counted,
    },
    store::TaskFilter,
};

/// How often it checks.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// For how long the last notices may keep the daemon.
const NOTICES_TIME: Duration = Duration::from_secs(90);
/// The maximum number of tasks that are counted at the end.
const MAX_COUNTED: u64 = 1_000;
/// Modules that must have completed a round before the daemon can be done.
const NEEDED: [ModuleName; 5] =
    [ModuleName::CRON, ModuleName::TRIGGERS, ModuleName::FUTURE, ModuleName::DISPATCHER, ModuleName::RECORDER];

/// How long the daemon works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is asked to stop.
    Serve,
    /// Until nothing is due. (`run --once`)
    Once,
    /// For this time. (`run --for`)
    For(Duration),
}

/// Ends when the daemon is to stop by itself: `run --once` and `run --for`.
pub(in crate::daemon) async fn over(daemon: &Components, mode: Mode) {
    match mode {
        Mode::Serve => std::future::pending().await,
        Mode::For(length) => tokio::time::sleep(length.saturating_sub(daemon.started.elapsed())).await,
        Mode::Once => {
            let mut idle_checks = 0;
            while idle_checks < 2 {
                tokio::time::sleep(POLL_INTERVAL).await;
                idle_checks = if nothing_due(daemon).await { idle_checks + 1 } else { 0 };
            }
            // What becomes due from now on is for the next run: its failure would come after the last notices.
            daemon.in_flight.close();
            while !daemon.in_flight.is_empty() {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            let _ = tokio::time::timeout(NOTICES_TIME, last_notices(daemon)).await;
            let _ = tokio::time::timeout(NOTICES_TIME, tell_what_waits(daemon)).await;
        }
    }
}

/// The exit code of a daemon that has done its work: 1 if a task failed in `run --once`.
pub(in crate::daemon) fn exit_code(daemon: &Components, mode: Mode) -> i32 {
    match daemon.in_flight.failed_tasks() {
        failed @ 1.. if mode == Mode::Once => {
            tracing::error!("{} failed: the exit code is 1", counted(failed, "task"));
            1
        }
        _ => 0,
    }
}

/// Lets the notifier tell of what has failed: nobody may start a daemon again for long.
async fn last_notices(daemon: &Components) {
    let rounds = || daemon.modules.get(&ModuleName::NOTIFIER).map_or(0, |status| status.rounds);
    let is_off = || daemon.modules.get(&ModuleName::NOTIFIER).is_none_or(|status| status.state.has_stopped());
    if daemon.config().channels.is_empty() || is_off() {
        return;
    }
    // The present round may have begun before the last failure.
    for _ in 0..2 {
        let before = rounds();
        while rounds() == before {
            daemon.wakers.wake(&ModuleName::NOTIFIER, WakeReason::Requested);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Logs how many tasks this run leaves: a test that relies on it would take them for done.
async fn tell_what_waits(daemon: &Components) {
    let filter = TaskFilter { limit: MAX_COUNTED, ..TaskFilter::default() };
    let Ok(left) = daemon.store.tasks(&filter).await else { return };
    let (waiting, later): (Vec<_>, Vec<_>) = left.iter().partition(|task| task.state == TaskState::Available);
    if !waiting.is_empty() {
        let tasks = counted(waiting.len(), "task");
        let first = waiting.first().map_or(0, |task| task.id);
        tracing::warn!("not executed: {tasks}; `sexton task show {first}` says why");
    }
    if !later.is_empty() {
        tracing::info!("left for later: {}", counted(later.len(), "task"));
    }
}

/// Whether the modules that bring work in have completed a round, and nothing is waiting, running or unrecorded.
async fn nothing_due(daemon: &Components) -> bool {
    let is_off =
        |module: &ModuleName| daemon.modules.get(module).is_some_and(|status| status.state == ModuleState::Disabled);
    let has_looked =
        |module: &ModuleName| is_off(module) || daemon.modules.get(module).is_some_and(|status| status.rounds > 0);
    if !daemon.milestones.has_adopted() || !NEEDED.iter().all(has_looked) {
        return false;
    }
    if !daemon.milestones.has_seen_files() && !is_off(&ModuleName::PATHS) {
        return false;
    }
    if !daemon.in_flight.is_empty() {
        return false;
    }
    // Where the dispatcher is disabled, what is due is left to other nodes.
    if is_off(&ModuleName::DISPATCHER) {
        return true;
    }
    // Tasks of a closed queue wait for its period.
    let closed = daemon.in_flight.closed_queues();
    let queues = daemon.in_flight.workers().into_iter().map(|workers| workers.queue);
    let queues: Vec<QueueName> = queues.filter(|queue| !closed.contains(queue)).collect();
    // A node without triggers leaves events alone.
    let leaves_events = daemon.config().triggers.is_empty() || is_off(&ModuleName::TRIGGERS);
    match daemon.store.peek_known(&daemon.claimable_names(), &queues).await {
        Ok(seen) if seen.events && !leaves_events => false,
        Ok(seen) => seen.queues.is_empty() && !seen.without_queue && (!seen.due || is_off(&ModuleName::FUTURE)),
        Err(_) => false,
    }
}
