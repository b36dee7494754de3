//! A shepherd: supervises one command from its start to its end.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, Flock, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl::{set_child_subreaper, set_pdeathsig},
        resource::{UsageWho, getrusage},
        signal::{SigSet, Signal, kill, killpg},
        signalfd::{SfdFlags, SignalFd},
        time::TimeValLike as _,
    },
    unistd::{Pid, dup2_stdin, getppid, pipe2, setsid},
};
use rustix::process::WaitStatus;

use super::{
    answers::Answers,
    attempt_dir::AttemptDir,
    cgroup::Group,
    command_pipes,
    fork::ForkContext,
    launch::{CommandIo, launch},
    launch_spec::{AttemptManifest, LaunchSpec, StopOrder},
    lease_file::NodeLease,
    output_capture::{self, Stream},
    process_tree,
    start_failure::StartFailure,
};
use crate::{
    clock::uptime,
    domain::command::{CommandEnd, Stopped, Usage},
};

/// How long the pipes are read after the end of the command.
const DRAIN_TIME: Duration = Duration::from_millis(200);
/// How long background processes of the command have to end by themselves.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How long the shepherd waits for a killed process. After that, it hangs inside the kernel.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// The poll interval while processes are being killed.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// A grace time without end.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The bit of a wait status that reports a core dump (wait(2)).
const CORE_DUMPED: i32 = 0x80;

/// Turns this fork into the shepherd of that attempt. `low_fd` is a descriptor with a low number for the command's
/// answers, because some shells know only numbers of one digit. The signals in `mask` are blocked.
pub(super) fn supervise_command(
    dir: &AttemptDir,
    mask: &SigSet,
    mut writer: File,
    low_fd: OwnedFd,
    context: &ForkContext,
) -> ! {
    let begun = begin(dir);
    let word = match &begun {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(Errno::EBUSY as i32),
    };
    // If the fork server does not read the answer, the attempt directory still shows that the attempt was acquired.
    let _ = writer.write_all(&word.to_le_bytes());
    drop(writer);
    let supervised = begun.and_then(|(_held, result_file)| supervise(dir, mask, result_file, low_fd, context));
    std::process::exit(i32::from(supervised.is_err()));
}

/// Acquires the attempt, and reserves space for its result.
fn begin(dir: &AttemptDir) -> io::Result<(Flock<File>, File)> {
    let held = dir.acquire()?.ok_or_else(|| io::Error::from_raw_os_error(Errno::EBUSY as i32))?;
    match dir.reserve_result() {
        Ok(result_file) => Ok((held, result_file)),
        Err(error) => {
            // While the lock is held: the attempt has not begun, and never will.
            dir.mark_lost()?;
            Err(error)
        }
    }
}

fn supervise(
    dir: &AttemptDir,
    mask: &SigSet,
    result_file: File,
    low_fd: OwnedFd,
    context: &ForkContext,
) -> io::Result<()> {
    let prepare = || -> io::Result<AttemptManifest<serde::de::IgnoredAny>> {
        setsid()?;
        set_child_subreaper(true)?;
        dup2_stdin(&low_fd)?;
        dir.manifest()
    };
    let manifest = match prepare() {
        Ok(manifest) => manifest,
        Err(error) => {
            let failure = StartFailure::from(error).before("cannot start the command: ");
            return dir.set_result(result_file, &failure.into_end());
        }
    };
    context.title.set(&manifest.spec.title);
    if manifest.spec.ends_with_daemon {
        set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != context.server {
            // The daemon died before the signal was set.
            nix::sys::signal::raise(Signal::SIGTERM)?;
        }
    }
    let watch = Supervision::begin(dir, mask, manifest.spec, low_fd, context);
    dir.set_result(result_file, &watch.map_or_else(StartFailure::into_end, Supervision::run))
}

/// A supervised command.
struct Supervision<'a> {
    dir: &'a AttemptDir,
    spec: LaunchSpec,
    started: Instant,
    group: Option<Group>,
    signals: SignalFd,
    command: Pid,
    /// The pipe with the reason why the program could not be started.
    problem: File,
    status: Option<WaitStatus>,
    streams: [Stream; 2],
    answers: Answers,
    stop: Option<StopInProgress>,
    /// If the command must end before its node's lease does.
    lease: Option<NodeLease>,
}

/// A command that is being stopped.
struct StopInProgress {
    why: Stopped,
    kill_at: Instant,
    killed_at: Option<Instant>,
}

impl<'a> Supervision<'a> {
    fn begin(
        dir: &'a AttemptDir,
        mask: &SigSet,
        mut spec: LaunchSpec,
        low_fd: OwnedFd,
        context: &ForkContext,
    ) -> Result<Self, StartFailure> {
        let program = spec.argv.first().cloned().ok_or("there is no command")?;
        let cannot = |failure: StartFailure| failure.before(&format!("cannot start {program}: "));
        let signals = SignalFd::with_flags(mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        let signals = signals.map_err(|error| cannot(error.into()))?;
        let pipe = || -> nix::Result<(OwnedFd, OwnedFd)> {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
            fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok((reading, writing))
        };
        let io_ends = || -> io::Result<_> {
            Ok((command_pipes::answers(dir, &spec, pipe()?)?, pipe()?, pipe()?, command_pipes::input(dir, &spec)?))
        };
        let ((answers, answer), (out, stdout), (err, stderr), input) =
            io_ends().map_err(|error| cannot(error.into()))?;
        let name = dir.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let group = match &spec.cgroup {
            Some(parent) => Some(Group::create(parent, &name).map_err(|error| cannot(error.into()))?),
            None => None,
        };
        let started = Instant::now();
        spec.env.push(("SEXTON_RESULT_FD".to_owned(), low_fd.as_raw_fd().to_string()));
        let (command, problem) =
            launch(&spec, CommandIo { input, stdout, stderr, answer, low_fd }, group.as_ref(), context)?;
        let limits = spec.output;
        let lease = spec.lease.map(|lease| NodeLease::new(dir.path(), lease, spec.kill_after));
        Ok(Self {
            dir,
            spec,
            started,
            group,
            signals,
            command,
            problem,
            status: None,
            streams: [Stream::new("stdout", out, limits), Stream::new("stderr", err, limits)],
            answers: Answers::new(answers),
            stop: None,
            lease,
        })
    }

    /// Supervises the command until it and all its processes have ended.
    fn run(mut self) -> CommandEnd {
        let mut buffer = output_capture::buffer();
        while self.status.is_none() && !self.is_unkillable() {
            self.wait();
            self.read(&mut buffer);
            self.handle_signals();
            self.enforce_time_limits();
            self.collect_ended();
        }
        let took = self.started.elapsed();
        // The command, or its background processes, may have written this before its end.
        let until = Instant::now() + DRAIN_TIME;
        while self.read(&mut buffer) && Instant::now() < until {}
        let (left_behind, unended) = self.end_leftovers(&mut buffer);
        let until = Instant::now() + DRAIN_TIME;
        while self.read(&mut buffer) && Instant::now() < until {}
        CommandEnd { left_behind, ..self.end(took, unended) }
    }

    /// Waits for output, a signal or a deadline.
    fn wait(&mut self) {
        let flags = PollFlags::POLLIN;
        let pipes = self.streams.iter().filter_map(Stream::fd).chain(self.answers.fd());
        let mut waiting: Vec<PollFd<'_>> =
            std::iter::once(self.signals.as_fd()).chain(pipes).map(|fd| PollFd::new(fd, flags)).collect();
        let until = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        // Rounded up: a wake-up before the deadline would be a wasted round.
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            PollTimeout::try_from(until.as_millis().min(3_600_000) as i32 + 1).unwrap_or(PollTimeout::NONE)
        });
        let _ = poll(&mut waiting, timeout);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let refresh = self.streams.iter().filter_map(Stream::refresh_at).min();
        let limit = match &self.stop {
            None => self.spec.timeout.and_then(|limit| self.started.checked_add(limit)),
            Some(StopInProgress { killed_at: None, kill_at, .. }) => Some(*kill_at),
            // It is killed again and again until it is gone.
            Some(StopInProgress { killed_at: Some(_), .. }) => Instant::now().checked_add(POLL_INTERVAL),
        };
        let check = self.lease.as_ref().and_then(|lease| Instant::now().checked_add(lease.until_check(uptime())));
        refresh.into_iter().chain(limit).chain(check).min()
    }

    /// Reads the available output and answers. Returns whether there may be more.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let at = self.started.elapsed().as_millis() as u64;
        let mut more = false;
        for stream in &mut self.streams {
            more |= stream.read(buffer, at, self.dir);
            stream.refresh(self.dir, false);
        }
        if self.answers.read(buffer)
            && let Some(progress) = self.answers.progress()
        {
            // Progress is only for display: a full disk does not affect the command.
            let _ = self.dir.set_progress(progress);
        }
        more
    }

    /// Handles TERM, from the daemon or another process.
    fn handle_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGTERM as u32 {
                let otherwise = StopOrder { why: Stopped::Interrupted, grace: self.spec.kill_after };
                let order = self.dir.stop().unwrap_or(otherwise);
                self.begin_to_stop(order);
            }
        }
    }

    fn enforce_time_limits(&mut self) {
        if self.stop.is_none() && self.spec.timeout.is_some_and(|limit| self.started.elapsed() >= limit) {
            self.begin_to_stop(StopOrder { why: Stopped::TimedOut, grace: self.spec.kill_after });
        }
        if let Some(grace) = self.lease.as_mut().and_then(|lease| lease.check(uptime())) {
            // One order is enough: it ends before the lease does.
            self.lease = None;
            self.begin_to_stop(StopOrder { why: Stopped::LeaseLost, grace });
        }
        if let Some(stop) = &mut self.stop
            && Instant::now() >= stop.kill_at
        {
            stop.killed_at.get_or_insert_with(Instant::now);
            self.kill();
        }
    }

    /// Asks all processes to end. The first reason counts, and the shortest grace time.
    fn begin_to_stop(&mut self, order: StopOrder) {
        let now = Instant::now();
        let kill_at = now.checked_add(order.grace).unwrap_or(now + CENTURY);
        match &mut self.stop {
            Some(stop) => stop.kill_at = stop.kill_at.min(kill_at),
            None => {
                self.stop = Some(StopInProgress { why: order.why, kill_at, killed_at: None });
                let signal = format!("SIG{}", self.spec.stop_signal);
                process_tree::signal_all(signal.parse().unwrap_or(Signal::SIGTERM));
            }
        }
    }

    /// Kills all processes.
    fn kill(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
        process_tree::kill_all();
        // Where the kernel does not list the descendants, at least these two are known; until the command is collected
        // and its number may be reused.
        if self.status.is_none() {
            let _ = killpg(self.command, Signal::SIGKILL);
            let _ = kill(self.command, Signal::SIGKILL);
        }
    }

    fn is_unkillable(&self) -> bool {
        self.stop.as_ref().and_then(|stop| stop.killed_at).is_some_and(|at| at.elapsed() >= KILL_DEADLINE)
    }

    /// Ends the background processes of the command, unless they may live on. Returns the number of those that the
    /// command left behind although nothing stopped it, and of those that could not be ended.
    fn end_leftovers(&mut self, buffer: &mut [u8]) -> (usize, usize) {
        if (self.spec.keep_background && self.stop.is_none()) || !self.collect_ended() {
            return (0, 0);
        }
        let mut killed_at = None;
        let grace_ends = Instant::now() + LEFTOVER_GRACE;
        let left_behind = if self.stop.is_none() { process_tree::signal_all(Signal::SIGTERM) } else { 0 };
        while self.collect_ended() {
            if killed_at.is_some_and(|at: Instant| at.elapsed() >= KILL_DEADLINE) {
                return (left_behind, process_tree::count());
            }
            // A stop gives its grace time to the whole tree. A later order may shorten it.
            if Instant::now() >= self.stop.as_ref().map_or(grace_ends, |stop| stop.kill_at) {
                killed_at.get_or_insert_with(Instant::now);
                self.kill();
            }
            let mut waiting = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut waiting, PollTimeout::from(POLL_INTERVAL.as_millis() as u8));
            // Output at the end is read, but does not delay the end.
            self.read(buffer);
            self.handle_signals();
        }
        (left_behind, 0)
    }

    /// Collects ended children. Returns whether processes remain.
    fn collect_ended(&mut self) -> bool {
        let (status, any_left) = process_tree::collect_ended(Some(self.command));
        self.status = self.status.or(status);
        any_left
    }

    fn end(mut self, took: Duration, leftovers: usize) -> CommandEnd {
        // Those who follow the output find its end in the files, and need no result for it.
        for stream in &mut self.streams {
            stream.refresh(self.dir, true);
        }
        let used = getrusage(UsageWho::RUSAGE_CHILDREN);
        let written: u64 = self.streams.iter().map(Stream::written).sum();
        let usage = Usage {
            user_ms: used.as_ref().map_or(0, |used| used.user_time().num_milliseconds()),
            system_ms: used.as_ref().map_or(0, |used| used.system_time().num_milliseconds()),
            // getrusage(2) counts in KiB.
            peak_memory: used.as_ref().map_or(0, |used| used.max_rss() * 1024),
            output_bytes: written.try_into().unwrap_or(i64::MAX),
        };
        let ran_out = self.group.as_ref().is_some_and(Group::has_run_out_of_memory);
        let [stdout, stderr] = self.streams.map(Stream::into_kept);
        let answer = self.answers.end();
        let stopped = self.stop.map(|stop| stop.why);
        let mut end = CommandEnd { took, usage, stdout, stderr, answer, stopped, ..CommandEnd::default() };
        if leftovers > 0 {
            end.stderr.add_line(&format!("sexton: processes of the command that could not be ended: {leftovers}"));
        }
        let mut problem = Vec::new();
        // The last writer is gone, so this does not block.
        if self.status.is_some() && self.problem.read_to_end(&mut problem).is_ok() && !problem.is_empty() {
            let failure = StartFailure::from_bytes(&problem);
            end.is_shortage = failure.as_ref().is_some_and(|failure| failure.is_shortage);
            end.failure = failure.map(|failure| failure.text);
            return end;
        }
        let Some(status) = self.status else {
            end.failure = Some("it was killed but did not end: it hangs inside the kernel".to_owned());
            return end;
        };
        end.exit_code = status.exit_status();
        end.signal = status.terminating_signal().map(|signal| (signal, signal_name(signal, ran_out)));
        end.core_dumped = status.signaled() && status.as_raw() & CORE_DUMPED != 0;
        end
    }
}

/// The name of a signal. Real-time signals have numbers only.
fn signal_name(number: i32, ran_out_of_memory: bool) -> String {
    let name = Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
    if ran_out_of_memory { format!("{name}: its memory limit was reached") } else { name }
}
