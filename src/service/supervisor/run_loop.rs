//! The life of a process supervisor: one loop that waits for signals, for the daemon's words, and for time to pass.

use std::{
    io,
    os::{
        fd::AsFd as _,
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    process::ExitStatus,
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
    child::Daemon,
    endpoint::SupervisorEndpoint,
    journal::SupervisorLog,
    plan::{Started, SupervisorPlan, report},
};
use crate::{
    clock::machine_time,
    domain::{
        daemon::restart::{Response, RestartPolicy, Restarts},
        text::duration,
    },
    service::{
        exit_report::ExitReport,
        lock::FileLock,
        notify::{Said, understand},
        rundir::RunDir,
        state::{State, SupervisorState},
    },
};

/// A daemon that was told to end has so much longer than its tasks, and as much more as it asks for on the way.
const MARGIN: Duration = Duration::from_secs(10);
/// The same, if it is to hurry.
const FORCED_MARGIN: Duration = Duration::from_secs(5);
/// It looks after its run directory this often at least.
const LOOK: Duration = Duration::from_secs(5);
/// Waking up so much later than it is due is not the way of a machine that works.
const FROZEN: Duration = Duration::from_secs(1);
/// Before its first sign of life, a daemon has at least so long.
const FIRST_SIGN: Duration = Duration::from_secs(30);
/// The exit code after too many falls: `EX_SOFTWARE` of sysexits.h.
const GAVE_UP: i32 = 70;
/// When a daemon that fell is started again: quickly at first, then ever more slowly, and not for ever.
const POLICY: RestartPolicy = RestartPolicy {
    restart_delay: Duration::from_millis(500),
    max_restart_delay: Duration::from_secs(60),
    max_restarts: 10,
    restart_window: Duration::from_secs(600),
};

/// Signals that have come.
type Signals = SignalDelivery<UnixStream, SignalOnly>;

/// A process supervisor at work.
struct RunLoop<'a> {
    plan: SupervisorPlan,
    run: &'a RunDir,
    journal: SupervisorLog,
    place: SupervisorEndpoint,
    daemon: Option<Daemon>,
    falls: Restarts,
    begun: Instant,
    state: State,
    /// Whether `start` still waits for an answer.
    is_awaited: bool,
    status: String,
    /// Until when the next sign of life must come.
    sign_due: Option<Instant>,
    /// When the daemon is started again.
    start_due: Option<Instant>,
    /// When a daemon that is to end is killed.
    kill_due: Option<Instant>,
    /// Daemons that were killed while they were to end.
    killed: Vec<i32>,
}

/// Watches over a daemon to its end in good order; gives the exit code.
pub(super) fn watch(plan: SupervisorPlan, run: &RunDir, lock: FileLock) -> io::Result<i32> {
    let mut signals = catch_signals()?;
    let place = SupervisorEndpoint::take(run, lock)?;
    let journal = SupervisorLog::new(plan.log.clone());
    let state = State {
        pid: std::process::id() as i32,
        doing: SupervisorState::Starting,
        falls: 0,
        last_fall: None,
        last_fall_at: None,
    };
    let mut watch = RunLoop {
        plan,
        run,
        journal,
        place,
        daemon: None,
        falls: Restarts::default(),
        begun: Instant::now(),
        state,
        is_awaited: true,
        status: String::new(),
        sign_due: None,
        start_due: None,
        kill_due: None,
        killed: Vec::new(),
    };
    watch.journal.note("INFO", "has started");
    let mut end = watch.start();
    let code = loop {
        if let Some(code) = end {
            break code;
        }
        watch.wait(&mut signals)?;
        end = watch.look();
    };
    watch.journal.note("INFO", &format!("has ended, exit code {code}"));
    Ok(code)
}

impl RunLoop<'_> {
    /// Waits until something happens, or is due; carries signals and words to where they belong.
    fn wait(&mut self, signals: &mut Signals) -> io::Result<()> {
        let due =
            [self.sign_due, self.start_due, self.kill_due, Some(Instant::now() + LOOK)].into_iter().flatten().min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            // One more: what is due is to be due when it is looked at.
            let left = due.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mouth = self.daemon.as_ref().and_then(Daemon::mouth);
        let mut waiting = vec![
            PollFd::new(signals.get_read().as_fd(), PollFlags::POLLIN),
            PollFd::new(self.place.notify.as_fd(), PollFlags::POLLIN),
        ];
        waiting.extend(mouth.as_ref().map(|mouth| PollFd::new(mouth.as_fd(), PollFlags::POLLIN)));
        let asleep = Instant::now();
        match poll(&mut waiting, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(waiting);
        drop(mouth);
        // It was not there for a while, as when everything was frozen: the daemon may have been frozen as well.
        let awaited = due.map(|due| due.saturating_duration_since(asleep));
        if awaited.is_some_and(|awaited| asleep.elapsed() > awaited + FROZEN) && self.sign_due.is_some() {
            self.sign_due = Some(Instant::now() + self.plan.watchdog);
        }
        for signal in signals.pending() {
            if let Ok(signal) = Signal::try_from(signal) {
                self.obey(signal);
            }
        }
        self.listen();
        if let Some(daemon) = &mut self.daemon {
            daemon.hear();
        }
        Ok(())
    }

    /// A signal to the supervisor is one to the daemon; one that ends it also ends the supervising.
    fn obey(&mut self, signal: Signal) {
        let limit = match signal {
            Signal::SIGTERM | Signal::SIGINT => Some(self.plan.stop_timeout + MARGIN),
            Signal::SIGUSR2 => Some(self.plan.force_timeout + FORCED_MARGIN),
            Signal::SIGQUIT => Some(FORCED_MARGIN),
            Signal::SIGCHLD => return,
            _ => None,
        };
        if let Some(limit) = limit {
            self.journal.note("INFO", &format!("was told to stop ({})", signal.as_str()));
            let due = Instant::now() + limit;
            // Being told again can only hurry.
            self.kill_due = Some(self.kill_due.map_or(due, |before| before.min(due)));
            self.start_due = None;
            self.sign_due = None;
            self.set(SupervisorState::Stopping);
        }
        if let Some(daemon) = &self.daemon {
            daemon.signal(signal);
        }
    }

    /// Hears what the daemon says.
    fn listen(&mut self) {
        let mut buffer = [0; 4_096];
        while let Ok(length) = self.place.notify.recv(&mut buffer) {
            let said = understand(&String::from_utf8_lossy(&buffer[..length]));
            // The last words of one that is gone are not the next one's first.
            if self.daemon.is_none() {
                continue;
            }
            for word in said {
                match word {
                    Said::Ready => {
                        // Also one that has started itself anew.
                        if self.state.doing != SupervisorState::Stopping {
                            self.sign_due = Some(Instant::now() + self.plan.watchdog);
                        }
                        self.set(SupervisorState::Watching);
                    }
                    // Whatever takes it to its end, it is on the way: its own stop has limits.
                    Said::Stopping => self.sign_due = None,
                    Said::Alive if self.sign_due.is_some() => {
                        self.sign_due = Some(Instant::now() + self.plan.watchdog);
                    }
                    Said::Status(status) => self.status = status,
                    Said::NeedsTime(time) => {
                        self.kill_due = self.kill_due.map(|due| due.max(Instant::now() + time));
                    }
                    Said::Alive => {}
                }
            }
        }
        if self.is_awaited
            && self.state.doing == SupervisorState::Watching
            && let Some(daemon) = &self.daemon
        {
            self.journal.note("INFO", &format!("the daemon is ready: process {}", daemon.pid()));
            report(&Started::Ready { pid: daemon.pid(), status: self.status.clone() });
            self.be_alone();
        }
    }

    /// Sees to it that it is found, and can hear its daemon, also if somebody has cleared the run directory away.
    fn keep_place(&mut self) {
        match self.place.mend(self.run) {
            Ok(false) => {}
            Ok(true) => {
                self.journal.note("WARN", "the run directory was cleared away, and is put in order again");
                self.set(self.state.doing);
                // Until now nobody could hear it.
                self.sign_due = self.sign_due.map(|_| Instant::now() + self.plan.watchdog);
            }
            // Another time; until then it cannot be heard, and is not to be killed for that.
            Err(_) => self.sign_due = self.sign_due.map(|_| Instant::now() + self.plan.watchdog),
        }
    }

    /// Looks at what has happened and what is due; gives the exit code at the end.
    fn look(&mut self) -> Option<i32> {
        self.keep_place();
        let now = Instant::now();
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if let Some(status) = self.daemon.as_mut().and_then(Daemon::ended) {
            return self.bury(status);
        }
        if is_due(self.sign_due) {
            let length = duration::text(self.plan.watchdog);
            self.sign_due = None;
            self.journal.note("ERROR", &format!("the daemon gave no sign of life for {length}, and is killed"));
            self.kill();
        }
        if is_due(self.kill_due) && self.daemon.is_some() {
            self.kill_due = None;
            self.journal.note("ERROR", "the daemon does not end, and is killed");
            self.killed.extend(self.daemon.as_ref().map(Daemon::pid));
            self.kill();
        }
        if is_due(self.start_due) {
            self.start_due = None;
            return self.start();
        }
        // Told to stop while no daemon was there.
        (self.state.doing == SupervisorState::Stopping && self.daemon.is_none()).then_some(0)
    }

    fn kill(&self) {
        if let Some(daemon) = &self.daemon {
            daemon.signal(Signal::SIGKILL);
        }
    }

    fn start(&mut self) -> Option<i32> {
        self.status.clear();
        match Daemon::start(&self.plan, &self.place.address) {
            Ok(daemon) => {
                self.daemon = Some(daemon);
                self.sign_due = Some(Instant::now() + self.plan.watchdog.max(FIRST_SIGN));
                self.set(SupervisorState::Starting);
                None
            }
            Err(error) if self.is_awaited => {
                report(&Started::Failed { why: error.to_string(), code: None });
                Some(1)
            }
            // As one that falls at once.
            Err(error) => self.fallen(&error.to_string()),
        }
    }

    /// A daemon has ended. In good order: so does the supervising. Otherwise it is started again.
    fn bury(&mut self, status: ExitStatus) -> Option<i32> {
        let daemon = self.daemon.take()?;
        let (pid, words) = (daemon.pid(), { daemon }.take_words());
        self.sign_due = None;
        if !self.killed.is_empty() {
            let ending = self.run.ending(pid).unwrap_or(ExitReport { pid, ..ExitReport::default() });
            let _ = self.run.set_ending(&ExitReport { killed: std::mem::take(&mut self.killed), ..ending });
        }
        if self.is_awaited {
            let was_told = self.state.doing == SupervisorState::Stopping;
            let why = match (was_told, words.as_str()) {
                (true, _) => "it was told to stop while it was starting".to_owned(),
                (false, "") => format!("it ended before it was ready ({})", told(status)),
                (false, words) => words.to_owned(),
            };
            self.journal.note("ERROR", &format!("the daemon did not come up: {why}"));
            report(&Started::Failed { why, code: status.code() });
            return Some(status.code().filter(|code| *code != 0).unwrap_or(1));
        }
        if status.success() || self.state.doing == SupervisorState::Stopping {
            self.journal.note("INFO", &format!("the daemon has ended ({})", told(status)));
            return Some(0);
        }
        let last = words.lines().next_back().map(|line| format!(": {line}")).unwrap_or_default();
        self.fallen(&format!("{}{last}", told(status)))
    }

    /// A daemon fell: it is started again after a while, unless it falls all the time.
    fn fallen(&mut self, how: &str) -> Option<i32> {
        let response = self.falls.record_failure(&POLICY, self.begun.elapsed());
        self.state.falls = self.falls.total();
        self.state.last_fall = Some(how.to_owned());
        self.state.last_fall_at = Some(machine_time());
        match response {
            Response::RestartAfter(delay) => {
                let delay_text = duration::text(delay);
                self.journal.note("ERROR", &format!("the daemon fell ({how}); starting it again in {delay_text}"));
                self.start_due = Some(Instant::now() + delay);
                self.set(SupervisorState::Waiting);
                None
            }
            Response::GiveUp => {
                let window = duration::text(POLICY.restart_window);
                self.journal.note("ERROR", &format!("the daemon fell ({how}), too often within {window}: giving up"));
                Some(GAVE_UP)
            }
        }
    }

    fn set(&mut self, doing: SupervisorState) {
        // What was told to stop does nothing else any more.
        if self.state.doing != SupervisorState::Stopping {
            self.state.doing = doing;
        }
        // It is for people; a full disk keeps nobody from supervising.
        let _ = self.run.set_state(&self.state);
    }

    /// Lets go of whoever called `start`.
    fn be_alone(&mut self) {
        self.is_awaited = false;
        if let Ok(nowhere) = std::fs::File::options().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdin(&nowhere);
            let _ = rustix::stdio::dup2_stdout(&nowhere);
            let _ = rustix::stdio::dup2_stderr(&nowhere);
        }
    }
}

/// From now on signals are caught, and wait until they are read. They are not blocked: the daemon would inherit that.
fn catch_signals() -> io::Result<Signals> {
    let (read, write) = UnixStream::pair()?;
    let signals = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT, SIGCHLD];
    SignalDelivery::with_pipe(read, write, SignalOnly, signals)
}

/// How a process ended, in words.
fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(Ok(signal))) => format!("signal {} {}", signal as i32, signal.as_str()),
        (None, _) => status.to_string(),
    }
}
