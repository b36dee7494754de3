//! The daemon as its process supervisor sees it: a child, its last words, and how it ended.

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

/// So much is kept of what a daemon writes outside its log.
const WORDS: usize = 4_096;

/// A running daemon.
pub(super) struct Daemon {
    child: Child,
    stderr: Option<ChildStderr>,
    words: VecDeque<u8>,
}

impl Daemon {
    pub(super) fn start(plan: &SupervisorPlan, notify: &Path) -> io::Result<Self> {
        let mut child = Command::new(&plan.program)
            .arg0(DAEMON_TITLE)
            .args(&plan.arguments)
            .env("NOTIFY_SOCKET", notify)
            .env("WATCHDOG_USEC", plan.watchdog.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", plan.program.display())))?;
        let stderr = child.stderr.take();
        if let Some(stderr) = &stderr {
            fcntl(stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { child, stderr, words: VecDeque::new() })
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// It was not waited for, so its number is still its own.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        self.hear();
        Some(status)
    }

    /// Where its words can be waited for, as long as there may be more.
    pub(super) fn mouth(&self) -> Option<impl AsFd + '_> {
        self.stderr.as_ref()
    }

    /// Takes in what it has written to standard error.
    pub(super) fn hear(&mut self) {
        let mut buffer = [0; 4_096];
        while let Some(stderr) = &mut self.stderr {
            match stderr.read(&mut buffer) {
                Ok(0) => self.stderr = None,
                Ok(length) => {
                    self.words.extend(&buffer[..length]);
                    let surplus = self.words.len().saturating_sub(WORDS);
                    self.words.drain(..surplus);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// What it has written lately.
    pub(super) fn take_words(&mut self) -> String {
        let words: Vec<u8> = std::mem::take(&mut self.words).into();
        String::from_utf8_lossy(&words).trim().to_owned()
    }
}
