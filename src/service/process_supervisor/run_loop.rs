//! The loop of a process supervisor: it waits for signals, for messages of the daemon, and for time limits.

use std::{
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
};
use signal_hook::{
    consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2},
    iterator::{backend::SignalDelivery, exfiltrator::SignalOnly},
};

use super::{
    child::{Daemon, DaemonEnd},
    endpoint::SupervisorEndpoint,
    log::SupervisorLog,
    plan::{Started, SupervisorPlan, report},
};
use crate::{
    clock::machine_time,
    domain::{
        daemon::restart_policy::{Response, RestartPolicy, Restarts},
        text::duration,
    },
    service::{
        exit_report::ExitReport,
        lock::FileLock,
        notify::{ServiceMessage, parse},
        rundir::RunDir,
        supervisor_status::{SupervisorState, SupervisorStatus},
    },
};

/// After the time limit of its tasks, a stopping daemon has this much longer, and more if it asks for it.
const STOP_MARGIN: Duration = Duration::from_secs(10);
/// As [`STOP_MARGIN`], for a forced stop.
const FORCED_STOP_MARGIN: Duration = Duration::from_secs(5);
/// Maximum time between two checks of the run directory.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// A wake-up that is later than this means that the machine was suspended or frozen.
const FREEZE_THRESHOLD: Duration = Duration::from_secs(1);
/// Minimum time that a daemon has before its first message.
const MIN_START_TIMEOUT: Duration = Duration::from_secs(30);
/// The exit code after too many failures: `EX_SOFTWARE` of sysexits.h.
const EXIT_GAVE_UP: i32 = 70;
/// Restarts of a failed daemon: quickly at first, then at growing intervals, up to a limit.
const POLICY: RestartPolicy = RestartPolicy {
    restart_delay: Duration::from_millis(500),
    max_restart_delay: Duration::from_secs(60),
    max_restarts: 10,
    restart_window: Duration::from_secs(600),
};

/// The signals that have arrived.
pub(super) type Signals = SignalDelivery<UnixStream, SignalOnly>;

/// A running process supervisor.
struct RunLoop<'a> {
    plan: SupervisorPlan,
    run: &'a RunDir,
    log: SupervisorLog,
    endpoint: SupervisorEndpoint,
    daemon: Option<Daemon>,
    failures: Restarts,
    begun: Instant,
    status: SupervisorStatus,
    /// Whether `start` still waits for an answer.
    is_start_waiting: bool,
    /// The latest status line of the daemon.
    daemon_status: String,
    /// When a silent daemon is killed.
    watchdog_due: Option<Instant>,
    /// When a failed daemon is restarted.
    start_due: Option<Instant>,
    /// When a stopping daemon is killed.
    kill_due: Option<Instant>,
    /// Daemons that were killed because they did not stop in time.
    killed: Vec<i32>,
}

/// Supervises a daemon until it ends for good. Returns the exit code.
///
/// # Errors
/// If the operating system refuses sockets or waiting.
pub(super) fn run(plan: SupervisorPlan, run: &RunDir, lock: FileLock, mut signals: Signals) -> io::Result<i32> {
    let endpoint = SupervisorEndpoint::take(run, lock)?;
    let log = SupervisorLog::new(plan.log.clone());
    let status = SupervisorStatus::starting(std::process::id() as i32);
    let mut run_loop = RunLoop {
        plan,
        run,
        log,
        endpoint,
        daemon: None,
        failures: Restarts::default(),
        begun: Instant::now(),
        status,
        is_start_waiting: true,
        daemon_status: String::new(),
        watchdog_due: None,
        start_due: None,
        kill_due: None,
        killed: Vec::new(),
    };
    run_loop.log.write("INFO", "has started");
    let mut end = run_loop.begin();
    let code = loop {
        if let Some(code) = end {
            break code;
        }
        run_loop.wait(&mut signals)?;
        end = run_loop.check();
    };
    run_loop.log.write("INFO", &format!("has ended, exit code {code}"));
    run_loop.endpoint.close(run);
    Ok(code)
}

impl RunLoop<'_> {
    /// Waits until something happens or is due; handles signals, messages and the daemon's standard error.
    fn wait(&mut self, signals: &mut Signals) -> io::Result<()> {
        let due = [self.watchdog_due, self.start_due, self.kill_due, Some(Instant::now() + CHECK_INTERVAL)];
        let due = due.into_iter().flatten().min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            // One millisecond more, so that it is due after the wait.
            let left = due.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let of_daemon = self.daemon.as_ref().and_then(Daemon::watched_fd);
        let mut waiting = vec![
            PollFd::new(signals.get_read().as_fd(), PollFlags::POLLIN),
            PollFd::new(self.endpoint.notify.as_fd(), PollFlags::POLLIN),
        ];
        waiting.extend(of_daemon.map(|watched| PollFd::new(watched, PollFlags::POLLIN)));
        let asleep = Instant::now();
        match poll(&mut waiting, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(waiting);
        // After a suspension of the machine the daemon needs time for its next message.
        let expected = due.map(|due| due.saturating_duration_since(asleep));
        if expected.is_some_and(|expected| asleep.elapsed() > expected + FREEZE_THRESHOLD) {
            self.extend_watchdog();
        }
        for signal in signals.pending() {
            if let Ok(signal) = Signal::try_from(signal) {
                self.handle_signal(signal);
            }
        }
        self.read_messages();
        if let Some(daemon) = &mut self.daemon {
            daemon.read_stderr();
        }
        Ok(())
    }

    /// Restarts the time limit for the daemon's next message, if there is one.
    fn extend_watchdog(&mut self) {
        self.watchdog_due = self.watchdog_due.map(|_| Instant::now() + self.plan.watchdog);
    }

    /// Passes a signal on to the daemon. A signal to stop also ends the supervision.
    fn handle_signal(&mut self, signal: Signal) {
        let limit = match signal {
            Signal::SIGTERM | Signal::SIGINT => Some(self.plan.stop_timeout + STOP_MARGIN),
            Signal::SIGUSR2 => Some(self.plan.force_timeout + FORCED_STOP_MARGIN),
            Signal::SIGQUIT => Some(FORCED_STOP_MARGIN),
            Signal::SIGCHLD => return,
            _ => None,
        };
        if let Some(limit) = limit {
            self.log.write("INFO", &format!("received {}: stopping", signal.as_str()));
            let due = Instant::now() + limit;
            // A further signal can only shorten the time.
            self.kill_due = Some(self.kill_due.map_or(due, |before| before.min(due)));
            self.start_due = None;
            self.watchdog_due = None;
            self.set_state(SupervisorState::Stopping);
        }
        if let Some(daemon) = &self.daemon {
            daemon.signal(signal);
        }
    }

    /// Reads the messages of the daemon.
    fn read_messages(&mut self) {
        let mut buffer = [0; 4_096];
        while let Ok(length) = self.endpoint.notify.recv(&mut buffer) {
            // Late messages of a daemon that has ended do not concern the next one.
            if self.daemon.is_some() {
                for message in parse(&String::from_utf8_lossy(&buffer[..length])) {
                    self.handle_message(message);
                }
            }
        }
        if self.is_start_waiting
            && self.status.state == SupervisorState::Watching
            && let Some(daemon) = &self.daemon
        {
            self.log.write("INFO", &format!("the daemon is ready: process {}", daemon.pid()));
            report(&Started::Ready { pid: daemon.pid(), status: self.daemon_status.clone() });
            self.detach();
        }
    }

    fn handle_message(&mut self, message: ServiceMessage) {
        match message {
            ServiceMessage::Ready => {
                // Also after the daemon has restarted itself.
                if self.status.state != SupervisorState::Stopping {
                    self.watchdog_due = Some(Instant::now() + self.plan.watchdog);
                }
                self.set_state(SupervisorState::Watching);
            }
            // The daemon's own stop has time limits.
            ServiceMessage::Stopping => self.watchdog_due = None,
            ServiceMessage::Alive => self.extend_watchdog(),
            ServiceMessage::Status(status) => self.daemon_status = status,
            ServiceMessage::ExtendTimeout(time) => {
                self.kill_due = self.kill_due.map(|due| due.max(Instant::now() + time));
            }
        }
    }

    /// Restores the lock and the socket if the run directory was removed.
    fn repair_endpoint(&mut self) {
        match self.endpoint.repair(self.run) {
            Ok(false) => {}
            Ok(true) => {
                self.log.write("WARN", "the run directory was removed, and is created again");
                self.set_state(self.status.state);
                // Messages before the repair were lost.
                self.extend_watchdog();
            }
            // The next check tries again. Until then messages are lost, and the daemon must not be killed for that.
            Err(_) => self.extend_watchdog(),
        }
    }

    /// Handles what has happened and what is due. Returns the exit code at the end.
    fn check(&mut self) -> Option<i32> {
        self.repair_endpoint();
        let now = Instant::now();
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if let Some(status) = self.daemon.as_mut().and_then(Daemon::ended) {
            return self.daemon_ended(status);
        }
        if is_due(self.watchdog_due) {
            let limit = duration::text(self.plan.watchdog);
            self.watchdog_due = None;
            self.log.write("ERROR", &format!("the daemon was silent for {limit}: killing it"));
            self.kill();
        }
        if is_due(self.kill_due) && self.daemon.is_some() {
            self.kill_due = None;
            self.log.write("ERROR", "the daemon did not stop in time: killing it");
            self.killed.extend(self.daemon.as_ref().map(Daemon::pid));
            self.kill();
        }
        if is_due(self.start_due) {
            self.start_due = None;
            return self.start();
        }
        // A stop without a running daemon.
        (self.status.state == SupervisorState::Stopping && self.daemon.is_none()).then_some(0)
    }

    fn kill(&self) {
        if let Some(daemon) = &self.daemon {
            daemon.signal(Signal::SIGKILL);
        }
    }

    /// Starts the first daemon, or watches one that has lost its process supervisor.
    fn begin(&mut self) -> Option<i32> {
        let Some(pid) = self.plan.adopt else { return self.start() };
        match Daemon::adopt(pid, self.run) {
            Ok(daemon) => self.daemon = Some(daemon),
            Err(error) => {
                report(&Started::Failed { why: error.to_string(), code: None });
                return Some(1);
            }
        }
        // Where the daemon's messages go through the earlier process supervisor, they are lost.
        self.watchdog_due = (!self.run.is_deep()).then(|| Instant::now() + self.plan.watchdog.max(MIN_START_TIMEOUT));
        self.set_state(SupervisorState::Watching);
        self.log.write("INFO", &format!("watches the running daemon: process {pid}"));
        report(&Started::Ready { pid, status: String::new() });
        self.detach();
        None
    }

    fn start(&mut self) -> Option<i32> {
        self.daemon_status.clear();
        match Daemon::start(&self.plan, &self.endpoint.address, !self.is_start_waiting) {
            Ok(daemon) => {
                self.daemon = Some(daemon);
                self.watchdog_due = Some(Instant::now() + self.plan.watchdog.max(MIN_START_TIMEOUT));
                self.set_state(SupervisorState::Starting);
                None
            }
            Err(error) if self.is_start_waiting => {
                report(&Started::Failed { why: error.to_string(), code: None });
                Some(1)
            }
            // As a daemon that fails at once.
            Err(error) => self.daemon_failed(&error.to_string()),
        }
    }

    /// A daemon has ended. If it ended cleanly, the supervision ends; otherwise the daemon is restarted.
    fn daemon_ended(&mut self, end: DaemonEnd) -> Option<i32> {
        let mut daemon = self.daemon.take()?;
        let (pid, stderr) = (daemon.pid(), daemon.take_stderr());
        self.watchdog_due = None;
        if !self.killed.is_empty() {
            let ending = self.run.ending(pid).unwrap_or(ExitReport { pid, ..ExitReport::default() });
            let _ = self.run.set_ending(&ExitReport { killed: std::mem::take(&mut self.killed), ..ending });
        }
        let is_stopping = self.status.state == SupervisorState::Stopping;
        if self.is_start_waiting {
            let why = match (is_stopping, stderr.as_str()) {
                (true, _) => "it was stopped while it was starting".to_owned(),
                (false, "") => format!("it ended before it was ready ({end})"),
                (false, stderr) => stderr.to_owned(),
            };
            self.log.write("ERROR", &format!("the daemon did not start: {why}"));
            report(&Started::Failed { why, code: end.code() });
            return Some(end.code().filter(|code| *code != 0).unwrap_or(1));
        }
        let is_clean = match end {
            DaemonEnd::Status(status) => status.success(),
            // A daemon that stops leaves a report, one that fails does not.
            DaemonEnd::Unseen => self.run.ending(pid).is_some(),
        };
        if is_clean || is_stopping {
            self.log.write("INFO", &format!("the daemon has ended ({end})"));
            return Some(0);
        }
        let last = stderr.lines().next_back().map(|line| format!(": {line}")).unwrap_or_default();
        self.daemon_failed(&format!("{end}{last}"))
    }

    /// A daemon has failed: it is restarted after a delay, unless it fails too often.
    fn daemon_failed(&mut self, how: &str) -> Option<i32> {
        let response = self.failures.record_failure(&POLICY, self.begun.elapsed());
        self.status.failures = self.failures.total();
        self.status.last_failure = Some(how.to_owned());
        self.status.last_failure_at = Some(machine_time());
        match response {
            Response::RestartAfter(delay) => {
                let delay_text = duration::text(delay);
                self.log.write("ERROR", &format!("the daemon failed ({how}); restarting it in {delay_text}"));
                self.start_due = Some(Instant::now() + delay);
                self.set_state(SupervisorState::Waiting);
                None
            }
            Response::GiveUp => {
                let window = duration::text(POLICY.restart_window);
                self.log.write("ERROR", &format!("the daemon failed ({how}), too often within {window}: giving up"));
                Some(EXIT_GAVE_UP)
            }
        }
    }

    fn set_state(&mut self, state: SupervisorState) {
        // Nothing follows `stopping`.
        if self.status.state != SupervisorState::Stopping {
            self.status.state = state;
        }
        // For people only: supervision continues on a full disk.
        let _ = self.run.set_status(&self.status);
    }

    /// Closes the streams to the caller of `start`.
    fn detach(&mut self) {
        self.is_start_waiting = false;
        if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdin(&null);
            let _ = rustix::stdio::dup2_stdout(&null);
            let _ = rustix::stdio::dup2_stderr(&null);
        }
    }
}

/// Catches signals until they are read. They are not blocked, because the daemon would inherit that.
///
/// # Errors
/// If the operating system refuses the handlers or their socket.
pub(super) fn catch_signals() -> io::Result<Signals> {
    let (read, write) = UnixStream::pair()?;
    let signals = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGCHLD];
    SignalDelivery::with_pipe(read, write, SignalOnly, signals)
}
