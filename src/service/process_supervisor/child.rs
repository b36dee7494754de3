//! The daemon as a child of its process supervisor: its signals, its standard error, and its exit status.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use super::plan::{DAEMON_TITLE, SupervisorPlan};
use crate::service::{
    lock::SUCCESSOR,
    rundir::{Role, RunDir},
};

/// Number of bytes that are kept of a daemon's standard error.
const MAX_STDERR: usize = 4_096;

/// A running daemon.
pub(super) struct Daemon {
    process: Process,
    stderr: Option<ChildStderr>,
    recent: VecDeque<u8>,
}

/// The process of a daemon.
enum Process {
    Child(Child),
    /// Started by an earlier process supervisor. Its exit status is not for this one.
    Adopted {
        pid: Pid,
        handle: OwnedFd,
    },
}

/// How a daemon has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum DaemonEnd {
    Status(ExitStatus),
    /// The end of an adopted daemon, of which only the exit report tells.
    Unseen,
}

impl DaemonEnd {
    /// The exit code, if it is known.
    pub(super) fn code(self) -> Option<i32> {
        match self {
            Self::Status(status) => status.code(),
            Self::Unseen => None,
        }
    }
}

impl fmt::Display for DaemonEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Status(status) = self else { return f.write_str("its exit code is not known") };
        match (status.code(), status.signal().map(Signal::try_from)) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(Ok(signal))) => write!(f, "signal {} {}", signal as i32, signal.as_str()),
            (None, _) => write!(f, "{status}"),
        }
    }
}

impl Daemon {
    /// Starts a daemon; `is_successor` if an earlier one failed.
    pub(super) fn start(plan: &SupervisorPlan, notify: &Path, is_successor: bool) -> io::Result<Self> {
        let mut child = Command::new(&plan.program)
            .arg0(DAEMON_TITLE)
            .args(&plan.arguments)
            .env("NOTIFY_SOCKET", notify)
            .env("WATCHDOG_USEC", plan.watchdog.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
            .env_remove("JOURNAL_STREAM")
            .env_remove(SUCCESSOR)
            .envs(is_successor.then_some((SUCCESSOR, "1")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", plan.program.display())))?;
        let stderr = child.stderr.take();
        if let Some(stderr) = &stderr {
            fcntl(stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { process: Process::Child(child), stderr, recent: VecDeque::new() })
    }

    /// Watches a running daemon, if it is still the holder of its run directory.
    pub(super) fn adopt(pid: i32, run: &RunDir) -> io::Result<Self> {
        let gone = || io::Error::other(format!("process {pid} is not the daemon any more"));
        let raw = rustix::process::Pid::from_raw(pid).ok_or_else(gone)?;
        let handle = pidfd_open(raw, PidfdFlags::empty())?;
        if run.holder(Role::Daemon)?.is_none_or(|holder| holder.pid != pid) {
            return Err(gone());
        }
        let process = Process::Adopted { pid: Pid::from_raw(pid), handle };
        Ok(Self { process, stderr: None, recent: VecDeque::new() })
    }

    pub(super) fn pid(&self) -> i32 {
        match &self.process {
            Process::Child(child) => child.id() as i32,
            Process::Adopted { pid, .. } => pid.as_raw(),
        }
    }

    /// Sends a signal. The process has not been waited for, or is named by its handle: its id is still its own.
    pub(super) fn signal(&self, signal: Signal) {
        match &self.process {
            Process::Child(_) => {
                let _ = kill(Pid::from_raw(self.pid()), signal);
            }
            Process::Adopted { handle, .. } => {
                if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
                    let _ = pidfd_send_signal(handle, signal);
                }
            }
        }
    }

    /// How the process has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<DaemonEnd> {
        let end = match &mut self.process {
            Process::Child(child) => DaemonEnd::Status(child.try_wait().ok().flatten()?),
            Process::Adopted { handle, .. } => {
                // A process handle becomes readable when the process ends.
                let mut waiting = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
                let is_over = poll(&mut waiting, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
                is_over.then_some(DaemonEnd::Unseen)?
            }
        };
        self.read_stderr();
        Some(end)
    }

    /// What poll(2) is to wait for beside signals: standard error up to its end, or the end of an adopted daemon.
    pub(super) fn watched_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.process {
            Process::Child(_) => self.stderr.as_ref().map(AsFd::as_fd),
            Process::Adopted { handle, .. } => Some(handle.as_fd()),
        }
    }

    /// Reads what the daemon has written to standard error.
    pub(super) fn read_stderr(&mut self) {
        let mut buffer = [0; 4_096];
        while let Some(stderr) = &mut self.stderr {
            match stderr.read(&mut buffer) {
                Ok(0) => self.stderr = None,
                Ok(length) => {
                    self.recent.extend(&buffer[..length]);
                    let surplus = self.recent.len().saturating_sub(MAX_STDERR);
                    self.recent.drain(..surplus);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// The latest output on standard error.
    pub(super) fn take_stderr(&mut self) -> String {
        let bytes: Vec<u8> = std::mem::take(&mut self.recent).into();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}
