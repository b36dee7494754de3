//! Stops a daemon: signals it, waits for its end, and kills it if it does not end in time.

use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

use crate::{
    daemon::{Phase, Status},
    domain::text::{duration, plural::counted},
    service::{ExitReport, Holder, Interrupted, Role, RunDir, control::ask},
};

/// Interval between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time that a daemon needs after its tasks have ended, to record their results.
const RECORD_MARGIN: Duration = Duration::from_secs(20);
/// Further time of a daemon that reports that it is stopping; granted again at each report.
const STOPPING_EXTENSION: Duration = Duration::from_secs(10);
/// Maximum of the further time.
const MAX_EXTENSION: Duration = Duration::from_secs(600);
/// How long to wait for the end of a killed process.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between two status requests, and time limit of each.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// How to stop a daemon.
pub(super) struct StopOptions {
    /// Whether to force the stop.
    pub(super) force: bool,
    /// How long its running tasks may take.
    pub(super) task_timeout: Duration,
}

/// The result of a stop.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct StopResult {
    /// The run directory.
    pub(super) run_dir: String,
    /// Process id of the process supervisor that was running.
    pub(super) supervisor: Option<i32>,
    /// Process id of the daemon that was running.
    pub(super) pid: Option<i32>,
    /// Duration in milliseconds.
    pub(super) took_ms: u64,
    /// How long running tasks had to end, in milliseconds.
    pub(super) task_timeout_ms: u64,
    /// Tasks that were interrupted and released.
    pub(super) interrupted: Vec<Interrupted>,
    /// Number of commands that continue without a daemon.
    #[serde(rename = "left")]
    pub(super) detached: usize,
    /// Processes that were killed.
    pub(super) killed: Vec<i32>,
}

/// Stops the daemon of a run directory and its process supervisor. Returns when both have ended.
pub(super) async fn stop_daemon(run: &RunDir, options: &StopOptions) -> anyhow::Result<StopResult> {
    let begun = Instant::now();
    let mut end = begun + options.task_timeout + RECORD_MARGIN;
    let mut asked = begun;
    let mut result = StopResult {
        run_dir: run.path().display().to_string(),
        task_timeout_ms: u64::try_from(options.task_timeout.as_millis()).unwrap_or(u64::MAX),
        ..StopResult::default()
    };
    let mut signalled = Vec::new();
    loop {
        let (supervisor, daemon) = (run.holder(Role::Supervisor)?, run.holder(Role::Daemon)?);
        let pid_of = |holder: Option<Holder>| holder.map(|holder| holder.pid).filter(|pid| *pid > 0);
        result.pid = result.pid.or(pid_of(daemon));
        result.supervisor = result.supervisor.or(pid_of(supervisor));
        // The process supervisor passes the signal on, and does not restart the daemon.
        let Some((role, holder)) =
            supervisor.map(|holder| (Role::Supervisor, holder)).or(daemon.map(|holder| (Role::Daemon, holder)))
        else {
            break;
        };
        // A holder without a known process id is checked again.
        if holder.pid > 0 && !signalled.contains(&holder) {
            signal(run, role, holder, if options.force { Signal::USR2 } else { Signal::TERM })?;
            signalled.push(holder);
        }
        if asked.elapsed() >= STATUS_INTERVAL {
            asked = Instant::now();
            match ask::<Status>(run, Method::GET, "/status", None, STATUS_INTERVAL).await {
                Ok(status) if matches!(status.phase, Phase::Stopping | Phase::Restarting) => {
                    end = end.max(asked + STOPPING_EXTENSION).min(begun + options.task_timeout + MAX_EXTENSION);
                }
                // The daemon missed the signal while it restarted itself: signal it again.
                Ok(_) => signalled.clear(),
                Err(_) => {}
            }
        }
        if Instant::now() >= end + KILL_TIMEOUT {
            let (role, holder) = supervisor.map_or(("daemon.lock", daemon), |holder| ("supervisor.lock", Some(holder)));
            let holder = holder.map(|holder| holder.to_string()).unwrap_or_default();
            anyhow::bail!("{}/{role} is still held by {holder}, which does not stop", run.path().display());
        }
        if Instant::now() >= end {
            for (role, holder) in [(Role::Supervisor, supervisor), (Role::Daemon, daemon)] {
                let Some(holder) = holder else { continue };
                signal(run, role, holder, Signal::KILL)?;
                if !result.killed.contains(&holder.pid) {
                    result.killed.push(holder.pid);
                }
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    result.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(ExitReport { interrupted, left, killed, .. }) = result.pid.and_then(|pid| run.ending(pid)) {
        result.interrupted = interrupted;
        result.detached = left;
        result.killed.extend(killed);
    }
    Ok(result)
}

/// Sends a signal to the holder of a lock, but not to another process that has got its process id.
fn signal(run: &RunDir, role: Role, holder: Holder, signal: Signal) -> anyhow::Result<()> {
    let Some(pid) = Pid::from_raw(holder.pid) else { return Ok(()) };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if run.holder(role)? != Some(holder) {
        return Ok(());
    }
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => anyhow::bail!("cannot signal process {}: {error}", holder.pid),
    }
}

impl StopResult {
    /// Whether a daemon or a process supervisor was running.
    pub(super) fn was_running(&self) -> bool {
        self.pid.is_some() || self.supervisor.is_some()
    }

    /// The result in a sentence, and further lines.
    pub(super) fn lines(&self) -> Vec<String> {
        if !self.was_running() {
            return vec![format!("Sexton is not running (no process holds {}/daemon.lock)", self.run_dir)];
        }
        let took = duration::short(i64::try_from(self.took_ms).unwrap_or(i64::MAX));
        let mut lines = vec![match self.pid {
            Some(pid) => format!("Sexton has stopped: process {pid}, within {took}"),
            None => format!("Sexton has stopped, within {took}; no daemon was running"),
        }];
        if !self.interrupted.is_empty() {
            let names: Vec<String> =
                self.interrupted.iter().map(|task| format!("{} (task {})", task.name, task.id)).collect();
            let limit = duration::text(Duration::from_millis(self.task_timeout_ms));
            let (tasks, names) = (counted(names.len(), "task"), names.join(", "));
            lines.push(format!("{tasks} interrupted and released: {names}; running tasks had {limit} to end"));
        }
        if self.detached > 0 {
            let commands = counted(self.detached, "command");
            lines.push(format!("{commands} without a daemon: the next daemon adopts them"));
        }
        for pid in &self.killed {
            lines.push(format!("process {pid} did not stop in time, and was killed"));
        }
        lines
    }
}
