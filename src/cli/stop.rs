//! ExitReport a daemon, whoever stands above it: told to, waited for, and killed if it does not.

use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;

use crate::{
    daemon::{Phase, Status},
    domain::text::duration,
    service::{ExitReport, Holder, Interrupted, Role, RunDir, control::ask},
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// What the daemon needs beyond its tasks' time, to record what it did.
const MARGIN: Duration = Duration::from_secs(20);
/// A daemon that says it is on the way down has so much more time, again and again.
const MORE: Duration = Duration::from_secs(10);
/// But no more than so much in all.
const MOST: Duration = Duration::from_secs(600);
/// What was killed has so long to be gone.
const GONE: Duration = Duration::from_secs(10);
/// How often it is asked, and how long its answer is waited for.
const ASKED: Duration = Duration::from_secs(1);

/// In what way to end it.
pub(super) struct Orders {
    /// Whether it is to hurry.
    pub(super) force: bool,
    /// How long its tasks have.
    pub(super) limit: Duration,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct StopResult {
    /// Where it was looked for.
    pub(super) run_dir: String,
    /// The process supervisor that was there.
    pub(super) supervisor: Option<i32>,
    /// The daemon that was there.
    pub(super) pid: Option<i32>,
    /// How long it took, in milliseconds.
    pub(super) took_ms: u64,
    /// Tasks that had to be ended before they were done.
    pub(super) interrupted: Vec<Interrupted>,
    /// Commands that go on without a daemon.
    pub(super) left: usize,
    /// Processes that had to be killed.
    pub(super) killed: Vec<i32>,
}

/// Ends the daemon of that run directory, and the process supervisor above it. Returns when both are gone.
pub(super) async fn halt(run: &RunDir, orders: &Orders) -> anyhow::Result<StopResult> {
    let begun = Instant::now();
    let mut end = begun + orders.limit + MARGIN;
    let mut asked = begun;
    let mut halted = StopResult { run_dir: run.path().display().to_string(), ..StopResult::default() };
    let mut told = Vec::new();
    loop {
        let (supervisor, daemon) = (run.holder(Role::Supervisor)?, run.holder(Role::Daemon)?);
        let pid_of = |holder: Option<Holder>| holder.map(|holder| holder.pid).filter(|pid| *pid > 0);
        halted.pid = halted.pid.or(pid_of(daemon));
        halted.supervisor = halted.supervisor.or(pid_of(supervisor));
        // The process supervisor passes it on, and does not start another one.
        let Some((role, holder)) =
            supervisor.map(|holder| (Role::Supervisor, holder)).or(daemon.map(|holder| (Role::Daemon, holder)))
        else {
            break;
        };
        // One that has not yet said who it is: in a moment.
        if holder.pid > 0 && !told.contains(&holder) {
            signal(run, role, holder, if orders.force { Signal::USR2 } else { Signal::TERM })?;
            told.push(holder);
        }
        if asked.elapsed() >= ASKED {
            asked = Instant::now();
            match ask::<Status>(run, Method::GET, "/status", None, ASKED).await {
                Ok(status) if matches!(status.phase, Phase::Stopping | Phase::Restarting) => {
                    end = end.max(asked + MORE).min(begun + orders.limit + MOST);
                }
                // It has not heard: it was just starting itself anew.
                Ok(_) => told.clear(),
                Err(_) => {}
            }
        }
        if Instant::now() >= end + GONE {
            let (role, holder) = supervisor.map_or(("daemon.lock", daemon), |holder| ("supervisor.lock", Some(holder)));
            let holder = holder.map(|holder| holder.to_string()).unwrap_or_default();
            anyhow::bail!("{}/{role} is still held by {holder}, which does not end", run.path().display());
        }
        if Instant::now() >= end {
            for (role, holder) in [(Role::Supervisor, supervisor), (Role::Daemon, daemon)] {
                let Some(holder) = holder else { continue };
                signal(run, role, holder, Signal::KILL)?;
                if !halted.killed.contains(&holder.pid) {
                    halted.killed.push(holder.pid);
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    halted.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(ExitReport { interrupted, left, killed, .. }) = halted.pid.and_then(|pid| run.ending(pid)) {
        halted.interrupted = interrupted;
        halted.left = left;
        halted.killed.extend(killed);
    }
    Ok(halted)
}

/// Sends a signal to whoever holds a lock, and to nobody who was given its number later.
fn signal(run: &RunDir, role: Role, holder: Holder, signal: Signal) -> anyhow::Result<()> {
    let Some(pid) = Pid::from_raw(holder.pid) else { return Ok(()) };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if run.holder(role)? != Some(holder) {
        return Ok(());
    }
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => anyhow::bail!("process {} cannot be told to stop: {error}", holder.pid),
    }
}

impl StopResult {
    /// Whether there was anything to stop.
    pub(super) fn was_there(&self) -> bool {
        self.pid.is_some() || self.supervisor.is_some()
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        if !self.was_there() {
            return format!("Sexton is not running (nobody holds {}/daemon.lock)", self.run_dir);
        }
        let took = duration::short(i64::try_from(self.took_ms).unwrap_or(i64::MAX));
        let mut told = match self.pid {
            Some(pid) => format!("Sexton has stopped: process {pid}, within {took}"),
            None => format!("Sexton has stopped, within {took}; no daemon was up"),
        };
        if !self.interrupted.is_empty() {
            let names: Vec<String> =
                self.interrupted.iter().map(|task| format!("{} (task {})", task.name, task.id)).collect();
            told += &format!(
                "\n{} tasks were not done in time; they were ended and given back: {}",
                names.len(),
                names.join(", ")
            );
        }
        if self.left > 0 {
            told += &format!("\n{} commands go on without a daemon; the next one takes them over", self.left);
        }
        for pid in &self.killed {
            told += &format!("\nprocess {pid} did not end, and was killed");
        }
        told
    }
}
