//! The daemon as a child of its process supervisor: its signals, its standard error, and its exit status.

use std::{
    collections::VecDeque,
    io::{self, Read as _},
    os::{fd::AsFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::plan::{DAEMON_TITLE, SupervisorPlan};
use crate::service::lock::SUCCESSOR;

/// Number of bytes that are kept of a daemon's standard error.
const MAX_STDERR: usize = 4_096;

/// A running daemon.
pub(super) struct Daemon {
    child: Child,
    stderr: Option<ChildStderr>,
    recent: VecDeque<u8>,
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
        Ok(Self { child, stderr, recent: VecDeque::new() })
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends a signal. The process has not been waited for, so its id is still its own.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// The exit status, if the process has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        self.read_stderr();
        Some(status)
    }

    /// Standard error, for poll(2); none at its end.
    pub(super) fn stderr_fd(&self) -> Option<impl AsFd + '_> {
        self.stderr.as_ref()
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
