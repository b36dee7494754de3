//! A shepherd: stands over one command from its start to its end.

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
    fork::ForkContext,
    launch::{Ends, launch},
    launch_spec::{AttemptManifest, LaunchSpec, StopOrder},
    output_capture::{self, Stream},
    tree,
};
use crate::domain::command::{CommandEnd, Stopped, Usage};

/// What a command has left behind in its pipes is read for so long after its end.
const AFTERMATH: Duration = Duration::from_millis(200);
/// What it has left behind running has so long to end by itself.
const LAST_GRACE: Duration = Duration::from_secs(1);
/// What does not even end when it is killed (it hangs inside the kernel) is waited for no longer than this.
const HOPELESS: Duration = Duration::from_secs(10);
/// Between two looks at processes that are being ended.
const LOOK: Duration = Duration::from_millis(20);
/// Longer than any machine runs.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The bit of a wait status that tells of a core dump (wait(2)).
const CORE_DUMPED: i32 = 0x80;

/// Turns this fork into the shepherd of that attempt. `slot` is a descriptor with a low number, for the command's
/// answers: some shells know no numbers of two digits. The signals in `mask` are blocked.
pub(super) fn supervise_command(
    folder: &AttemptDir,
    mask: &SigSet,
    mut tell: File,
    slot: OwnedFd,
    standing: &ForkContext,
) -> ! {
    let begun = begin(folder);
    let word = match &begun {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(Errno::EBUSY as i32),
    };
    // If nobody hears it any more, whoever finds the attempt sees that it has been taken on.
    let _ = tell.write_all(&word.to_le_bytes());
    drop(tell);
    let stood = begun.and_then(|(_held, aside)| stand(folder, mask, aside, slot, standing));
    std::process::exit(i32::from(stood.is_err()));
}

/// Takes the attempt on, with a little room set aside for its result.
fn begin(folder: &AttemptDir) -> io::Result<(Flock<File>, File)> {
    let held = folder.take_on()?.ok_or_else(|| io::Error::from_raw_os_error(Errno::EBUSY as i32))?;
    match folder.set_aside() {
        Ok(aside) => Ok((held, aside)),
        Err(error) => {
            // Before the lock is let go of: it is not begun, and never will be.
            folder.give_up()?;
            Err(error)
        }
    }
}

fn stand(folder: &AttemptDir, mask: &SigSet, aside: File, slot: OwnedFd, standing: &ForkContext) -> io::Result<()> {
    setsid()?;
    set_child_subreaper(true)?;
    dup2_stdin(&slot)?;
    let paper: AttemptManifest<serde::de::IgnoredAny> = folder.paper()?;
    standing.title.set(&paper.spec.title);
    if paper.spec.ends_with_daemon {
        set_pdeathsig(Signal::SIGTERM)?;
        if getppid() != standing.server {
            // It was too late for the signal.
            nix::sys::signal::raise(Signal::SIGTERM)?;
        }
    }
    let end = match Supervision::begin(folder, mask, paper.spec, slot, standing) {
        Ok(watch) => watch.run(),
        Err(problem) => CommandEnd::failed(problem),
    };
    folder.set_result(aside, &end)
}

/// A command that is being watched.
struct Supervision<'a> {
    folder: &'a AttemptDir,
    spec: LaunchSpec,
    started: Instant,
    group: Option<Group>,
    signals: SignalFd,
    command: Pid,
    /// Where the command's process says why it could not become the command.
    problem: File,
    status: Option<WaitStatus>,
    streams: [Stream; 2],
    answers: Answers,
    stop: Option<Stop>,
}

/// A command that is being stopped.
struct Stop {
    why: Stopped,
    kill_at: Instant,
    killed_at: Option<Instant>,
}

impl<'a> Supervision<'a> {
    fn begin(
        folder: &'a AttemptDir,
        mask: &SigSet,
        mut spec: LaunchSpec,
        slot: OwnedFd,
        standing: &ForkContext,
    ) -> Result<Self, String> {
        let program = spec.argv.first().cloned().ok_or("there is no command")?;
        let cannot = |error: &dyn std::fmt::Display| format!("cannot start {program}: {error}");
        let signals = SignalFd::with_flags(mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        let signals = signals.map_err(|error| cannot(&error))?;
        let pipe = || -> nix::Result<(OwnedFd, OwnedFd)> {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
            fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok((reading, writing))
        };
        let ends = || -> io::Result<_> { Ok((pipe()?, pipe()?, pipe()?, folder.input()?)) };
        let ((answers, answer), (out, stdout), (err, stderr), input) = ends().map_err(|error| cannot(&error))?;
        let name = folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let group = match &spec.cgroup {
            Some(parent) => Some(Group::create(parent, &name).map_err(|error| cannot(&error))?),
            None => None,
        };
        let started = Instant::now();
        spec.env.push(("SEXTON_RESULT_FD".to_owned(), slot.as_raw_fd().to_string()));
        let (command, problem) = launch(&spec, Ends { input, stdout, stderr, answer, slot }, group.as_ref(), standing)?;
        let limits = spec.output;
        Ok(Self {
            folder,
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
        })
    }

    /// From the command's start to the end of everything that it has started.
    fn run(mut self) -> CommandEnd {
        let mut buffer = output_capture::buffer();
        while self.status.is_none() && !self.is_hopeless() {
            self.wait();
            self.read(&mut buffer);
            self.obey();
            self.keep_time();
            self.bury();
        }
        let took = self.started.elapsed();
        // What is in its pipes was written before its end, or by what it has left behind.
        let until = Instant::now() + AFTERMATH;
        while self.read(&mut buffer) && Instant::now() < until {}
        let left = self.clear_up(&mut buffer);
        let until = Instant::now() + AFTERMATH;
        while self.read(&mut buffer) && Instant::now() < until {}
        self.end(took, left)
    }

    /// Waits until there is something to do.
    fn wait(&mut self) {
        let flags = PollFlags::POLLIN;
        let pipes = self.streams.iter().filter_map(Stream::fd).chain(self.answers.fd());
        let mut waiting: Vec<PollFd<'_>> =
            std::iter::once(self.signals.as_fd()).chain(pipes).map(|fd| PollFd::new(fd, flags)).collect();
        let until = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        // A little too late is in time, a little too early is a wasted round.
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            PollTimeout::try_from(until.as_millis().min(3_600_000) as i32 + 1).unwrap_or(PollTimeout::NONE)
        });
        let _ = poll(&mut waiting, timeout);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let refresh = self.streams.iter().filter_map(Stream::refresh_at).min();
        let limit = match &self.stop {
            None => self.spec.timeout.and_then(|limit| self.started.checked_add(limit)),
            Some(Stop { killed_at: None, kill_at, .. }) => Some(*kill_at),
            // Until it is gone, it is ended again and again.
            Some(Stop { killed_at: Some(_), .. }) => Instant::now().checked_add(LOOK),
        };
        refresh.into_iter().chain(limit).min()
    }

    /// Takes in what was written. True if there may be more.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let at = self.started.elapsed().as_millis() as u64;
        let mut more = false;
        for stream in &mut self.streams {
            more |= stream.read(buffer, at, self.folder);
            stream.refresh(self.folder, false);
        }
        if self.answers.read(buffer)
            && let Some(progress) = self.answers.progress()
        {
            // For whoever looks on; the command does not suffer from a full disk.
            let _ = self.folder.set_progress(progress);
        }
        more
    }

    /// Carries out what the daemon, or whoever else sends TERM, has told.
    fn obey(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGTERM as u32 {
                let otherwise = StopOrder { why: Stopped::Interrupted, grace: self.spec.kill_after };
                let order = self.folder.stop().unwrap_or(otherwise);
                self.begin_to_stop(order);
            }
        }
    }

    fn keep_time(&mut self) {
        if self.stop.is_none() && self.spec.timeout.is_some_and(|limit| self.started.elapsed() >= limit) {
            self.begin_to_stop(StopOrder { why: Stopped::TimedOut, grace: self.spec.kill_after });
        }
        if let Some(stop) = &mut self.stop
            && Instant::now() >= stop.kill_at
        {
            stop.killed_at.get_or_insert_with(Instant::now);
            self.kill();
        }
    }

    /// Asks everything politely. The first reason counts, and the shortest grace.
    fn begin_to_stop(&mut self, order: StopOrder) {
        let now = Instant::now();
        let kill_at = now.checked_add(order.grace).unwrap_or(now + FOR_EVER);
        match &mut self.stop {
            Some(stop) => stop.kill_at = stop.kill_at.min(kill_at),
            None => {
                self.stop = Some(Stop { why: order.why, kill_at, killed_at: None });
                let signal = format!("SIG{}", self.spec.stop_signal);
                tree::ask(signal.parse().unwrap_or(Signal::SIGTERM));
            }
        }
    }

    /// Does not ask any more.
    fn kill(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
        tree::end();
        // Where the system does not tell what is below a process, these two are known at least, until it is buried and
        // its number somebody else's.
        if self.status.is_none() {
            let _ = killpg(self.command, Signal::SIGKILL);
            let _ = kill(self.command, Signal::SIGKILL);
        }
    }

    fn is_hopeless(&self) -> bool {
        self.stop.as_ref().and_then(|stop| stop.killed_at).is_some_and(|at| at.elapsed() >= HOPELESS)
    }

    /// Ends what the command has left behind, unless that may live on. Gives what could not be ended.
    fn clear_up(&mut self, buffer: &mut [u8]) -> usize {
        if self.spec.keep_background && self.stop.is_none() {
            return 0;
        }
        if !self.bury() {
            return 0;
        }
        let mut killed_at = None;
        let grace_ends = Instant::now() + LAST_GRACE;
        if self.stop.is_none() {
            tree::ask(Signal::SIGTERM);
        }
        while self.bury() {
            if killed_at.is_some_and(|at: Instant| at.elapsed() >= HOPELESS) {
                return tree::size();
            }
            // A stop gives the whole tree its time; it may be hurried meanwhile.
            if Instant::now() >= self.stop.as_ref().map_or(grace_ends, |stop| stop.kill_at) {
                killed_at.get_or_insert_with(Instant::now);
                self.kill();
            }
            let mut waiting = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut waiting, PollTimeout::from(LOOK.as_millis() as u8));
            // Its last words are heard, and must not hold it up.
            self.read(buffer);
            self.obey();
        }
        0
    }

    /// Buries what has ended. False if nothing is left.
    fn bury(&mut self) -> bool {
        let (status, any_left) = tree::bury(Some(self.command));
        self.status = self.status.or(status);
        any_left
    }

    fn end(mut self, took: Duration, left: usize) -> CommandEnd {
        // Whoever has looked on finds its last bytes where the others were, and needs no result for that.
        for stream in &mut self.streams {
            stream.refresh(self.folder, true);
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
        if left > 0 {
            end.stderr.add_line(&format!("sexton: {left} processes that it has left behind could not be ended"));
        }
        let mut problem = Vec::new();
        // Without its last writer, it does not block.
        if self.status.is_some() && self.problem.read_to_end(&mut problem).is_ok() && !problem.is_empty() {
            end.failure = Some(String::from_utf8_lossy(&problem).into_owned());
            return end;
        }
        let Some(status) = self.status else {
            end.failure = Some("it did not end even when it was killed: it hangs inside the kernel".to_owned());
            return end;
        };
        end.exit_code = status.exit_status();
        end.signal = status.terminating_signal().map(|signal| (signal, signal_name(signal, ran_out)));
        end.core_dumped = status.signaled() && status.as_raw() & CORE_DUMPED != 0;
        end
    }
}

/// A signal in words. Those for real time have numbers only.
fn signal_name(number: i32, ran_out_of_memory: bool) -> String {
    let name = Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
    if ran_out_of_memory { format!("{name}: its limit of memory was reached") } else { name }
}
