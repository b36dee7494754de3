//! Shutdown: claim nothing more, let running attempts finish, release the rest, record everything, sign off.

use std::time::{Duration, Instant};

use serde_json::json;
use sexton_client::principal::Principal;
use sexton_entities::states::{AuditAction, AuditTarget};

use super::requests::{Request, Requests, ShutdownMode};
use crate::{
    daemon::{
        components::Components,
        state::{audit_trail, module_status::ModuleStatuses, wakers::WakeReason},
        stop_stage::Stage,
        supervision::supervisor_handle::SupervisorHandle,
    },
    domain::{
        identity::ModuleName,
        text::{duration, plural::counted},
    },
    handler::StopReason,
    service::{ExitReport, Interrupted},
    store::Deed,
};

/// How often the remaining work is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum grace of an attempt that is asked to stop at the end, whatever its definition says.
const MAX_GRACE: Duration = Duration::from_secs(5);
/// Maximum time that process modules have to stop, whatever their `stop_timeout`.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(86_400);
/// How long the modules of a stage have to finish their round.
const ROUND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the record of the stop may take.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the last spans may keep the daemon.
const SPANS_TIMEOUT: Duration = Duration::from_secs(1);

/// The modules of a daemon and when they are stopped.
pub(in crate::daemon) type Stages = Vec<(ModuleName, Stage)>;

/// Shuts the daemon down. Returns its report, and the mode in which it shut down in the end.
pub(in crate::daemon) async fn drain(
    daemon: &Components,
    supervisor: &SupervisorHandle,
    stages: &Stages,
    requests: &mut Requests,
    mode: ShutdownMode,
) -> (ExitReport, ShutdownMode) {
    daemon.in_flight.close();
    let mut limit = Limit { mode, force_timeout: daemon.config().daemon.force_timeout };
    stop_intake(daemon, supervisor, stages, &mut limit, requests).await;
    let release = daemon.in_flight.release_waiting(&daemon.store, Duration::ZERO);
    if !matches!(tokio::time::timeout(ROUND_TIMEOUT, release).await, Ok(Ok(()))) {
        tracing::warn!("claimed tasks that had not started could not be released; another node will release them");
    }
    match mode {
        ShutdownMode::Restart => daemon.in_flight.detach_commands(),
        _ => daemon.in_flight.detach_kept(),
    }
    finish_running(daemon, &mut limit, requests).await;
    let interrupted = interrupt_running(daemon, limit.mode == ShutdownMode::Immediate).await;
    stop_stage(daemon, supervisor, stages, Stage::Work).await;
    record_rest(daemon).await;
    stop_stage(daemon, supervisor, stages, Stage::Record).await;
    stop_stage(daemon, supervisor, stages, Stage::Life).await;
    sign_off(daemon).await;
    daemon.spans.flush(SPANS_TIMEOUT).await;
    tracing::info!("node {} has stopped", daemon.identity.id);
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let is_overruled = limit.mode == ShutdownMode::Restart && requests.is_stop_waiting();
    let mode = if is_overruled { ShutdownMode::Drain } else { limit.mode };
    (ExitReport { pid, interrupted, left: daemon.in_flight.detached_count(), killed: Vec::new() }, mode)
}

/// Records in the audit that the daemon has stopped, and how, if the database answers.
pub(in crate::daemon) async fn record(daemon: &Components, by: &Principal, report: &ExitReport, mode: ShutdownMode) {
    let (action, how) = match mode {
        ShutdownMode::Drain => (AuditAction::Stop, "drained"),
        ShutdownMode::Force => (AuditAction::Stop, "forced"),
        ShutdownMode::Immediate => (AuditAction::Stop, "at once"),
        ShutdownMode::Restart => (AuditAction::Restart, "drained"),
    };
    let after = json!({ "stopped": how, "interrupted": report.interrupted.len(), "left": report.left });
    let deed = Deed::new(action, AuditTarget::Node, daemon.identity.name.as_str());
    let deed = deed.from_to(json!({ "pid": report.pid }), after);
    audit_trail::log(by, &deed);
    let store = daemon.store.acting(by.clone());
    let problem = match tokio::time::timeout(AUDIT_TIMEOUT, store.audit(&deed)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database does not answer".to_owned(),
    };
    tracing::warn!("{} is not in the audit: {problem}", deed.action);
}

/// Stops the modules that bring work in, process modules among them.
async fn stop_intake(
    daemon: &Components,
    supervisor: &SupervisorHandle,
    stages: &Stages,
    limit: &mut Limit,
    requests: &mut Requests,
) {
    supervisor.stop(Stage::Intake);
    let stopped = || has_stopped(&daemon.modules, stages, Stage::Intake);
    limit.wait(longest_stop_timeout(daemon), Duration::ZERO, requests, stopped).await;
    if matches!(limit.mode, ShutdownMode::Force | ShutdownMode::Immediate) {
        daemon.processes.force();
    }
    until(ROUND_TIMEOUT, stopped).await;
}

/// Stops the modules of a stage, and waits for them.
async fn stop_stage(daemon: &Components, supervisor: &SupervisorHandle, stages: &Stages, stage: Stage) {
    supervisor.stop(stage);
    until(ROUND_TIMEOUT, || has_stopped(&daemon.modules, stages, stage)).await;
}

/// Records what still has no end, once the workers have stopped.
async fn record_rest(daemon: &Components) {
    daemon.in_flight.detach_all();
    daemon.in_flight.interrupt_abandoned("the daemon stopped", daemon.clock.now());
    daemon.wakers.wake(&ModuleName::RECORDER, WakeReason::Finished);
    until(ROUND_TIMEOUT, || daemon.in_flight.counts().finished == 0).await;
}

/// Whether every module of a stage has stopped. Process modules are not among the registered `stages`; they belong to
/// the first stage.
fn has_stopped(modules: &ModuleStatuses, stages: &Stages, stage: Stage) -> bool {
    let stage_of =
        |name: &str| stages.iter().find(|(known, _)| *known == name).map_or(Stage::Intake, |(_, stage)| *stage);
    let of_stage = modules.all().into_iter().filter(|status| stage_of(&status.name) == stage);
    of_stage.into_iter().all(|status| status.state.has_stopped())
}

/// Removes the node, unless some of its commands continue: the next daemon on this machine adopts them while the lease
/// lasts.
async fn sign_off(daemon: &Components) {
    daemon.processes.leave();
    let detached = daemon.in_flight.detached_count();
    if detached > 0 {
        let commands = counted(detached, "command");
        tracing::info!("leaving {commands} running for the next daemon on this machine to adopt");
        return;
    }
    daemon.shepherds.leave();
    let left = tokio::time::timeout(ROUND_TIMEOUT, daemon.store.leave(&daemon.identity.id)).await;
    if !matches!(left, Ok(Ok(()))) {
        tracing::warn!("the node could not be removed; its lease will run out");
    }
}

/// How long the shutdown waits. Further requests to stop can shorten it.
struct Limit {
    mode: ShutdownMode,
    /// The limit in mode `Force`.
    force_timeout: Duration,
}

impl Limit {
    /// Waits for a condition: up to `limit`, in mode `Force` up to `force_timeout`, in mode `Immediate` up to `least`.
    async fn wait(&mut self, limit: Duration, least: Duration, requests: &mut Requests, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        let limit = match self.mode {
            ShutdownMode::Drain | ShutdownMode::Restart => limit,
            ShutdownMode::Force => limit.min(self.force_timeout),
            ShutdownMode::Immediate => least,
        };
        let mut end = begun + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let request = tokio::select! {
                () = until(left, &condition) => return,
                request = requests.next() => request,
            };
            match request {
                // A request to stop overrules the restart.
                Some(Request::Stop(ShutdownMode::Drain)) if self.mode == ShutdownMode::Restart => {
                    self.mode = ShutdownMode::Drain;
                }
                Some(Request::Stop(ShutdownMode::Immediate)) | None => {
                    self.mode = ShutdownMode::Immediate;
                    end = end.min(begun + least);
                }
                Some(Request::Stop(ShutdownMode::Force)) if self.mode != ShutdownMode::Immediate => {
                    tracing::info!(
                        "stopping by force: waiting at most {} from now on",
                        duration::text(self.force_timeout)
                    );
                    self.mode = ShutdownMode::Force;
                    end = end.min(Instant::now() + self.force_timeout);
                }
                // Dropping the reply answers that the daemon stops.
                Some(_) => {}
            }
        }
    }
}

/// Waits for running attempts to finish.
async fn finish_running(daemon: &Components, limit: &mut Limit, requests: &mut Requests) {
    let stop_timeout = daemon.config().daemon.stop_timeout;
    let running = daemon.in_flight.counts().running;
    if running > 0 {
        let tasks = counted(running, "running task");
        tracing::info!("stopping: waiting up to {} for {tasks}", duration::text(stop_timeout));
    }
    limit.wait(stop_timeout, Duration::ZERO, requests, || daemon.in_flight.counts().running == 0).await;
}

/// The longest `stop_timeout` of the process modules, which stop at the same time.
fn longest_stop_timeout(daemon: &Components) -> Duration {
    let config = daemon.config();
    let timeouts = config.modules.values().filter_map(|module| Some(module.process.as_ref()?.stop_timeout));
    timeouts.max().map_or(Duration::ZERO, |timeout| timeout.min(MAX_STOP_TIMEOUT))
}

/// Stops what still runs and releases it. Returns the interrupted tasks.
async fn interrupt_running(daemon: &Components, is_immediate: bool) -> Vec<Interrupted> {
    let grace = if is_immediate { Duration::ZERO } else { MAX_GRACE };
    let running = daemon.in_flight.running();
    let interrupted = daemon.in_flight.stop(None, StopReason::Interrupted, Some(grace));
    if interrupted > 0 {
        tracing::warn!("stopping and releasing {} that still ran", counted(interrupted, "task"));
        until(grace + Duration::from_secs(2), || daemon.in_flight.counts().running == 0).await;
    }
    running.into_iter().map(|running| Interrupted { id: running.task.claim.task_id, name: running.task.name }).collect()
}

/// Waits for a condition, up to a limit.
async fn until(limit: Duration, condition: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !condition() && Instant::now() < end {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
