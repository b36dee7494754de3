//! The process supervisor of `sexton start`: this binary in a hidden mode, without database and configuration. It
//! restarts a daemon that fails, and ends with a daemon that stops cleanly.

mod child;
mod endpoint;
mod log;

mod plan;
mod run_loop;

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    process::{Command, Stdio},
};

use self::plan::report;
pub use self::plan::{DAEMON_TITLE, Started, SupervisorPlan};
use super::{
    lock::LockError,
    processes::hide_memory,
    rundir::{Role, RunDir},
};

/// The title of a process supervisor, by which `enter` recognises it.
const TITLE: &str = "sexton: supervisor";

/// Starts a process supervisor, and waits until the daemon is ready or has failed.
///
/// # Errors
/// If the program cannot be started, or the process supervisor ends without an answer.
pub fn launch(plan: &SupervisorPlan) -> io::Result<Started> {
    let mut child = Command::new(&plan.program)
        .arg0(TITLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", plan.program.display())))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(plan)?)?;
    }
    let mut answer = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut answer)?;
    }
    serde_json::from_str(&answer).map_err(|_| match child.wait() {
        Ok(status) => io::Error::other(format!("the process supervisor ended without an answer ({status})")),
        Err(error) => error,
    })
}

/// Runs the process supervisor if this process was started as one; then the call does not return.
///
/// Call it first in `main`.
pub fn enter() {
    let is_supervisor = std::env::args_os().next().is_some_and(|name| name.as_bytes() == TITLE.as_bytes());
    if is_supervisor {
        std::process::exit(supervise().unwrap_or_else(|error| {
            report(&Started::Failed { why: error.to_string(), code: None });
            1
        }));
    }
}

fn supervise() -> io::Result<i32> {
    let plan: SupervisorPlan = serde_json::from_reader(io::stdin())?;
    // A session of its own: the end of the terminal must not end it.
    nix::unistd::setsid()?;
    let run = RunDir::at(&plan.run_dir);
    // The daemon reaches the socket through this process's /proc if its address is too long.
    if !run.is_deep() {
        hide_memory();
    }
    run.create().map_err(|error| io::Error::new(error.kind(), format!("daemon.run_dir: {error}")))?;
    // Before the lock: the holder of the lock can be signalled at once, and must not end without an answer.
    let signals = run_loop::catch_signals()?;
    let lock = match run.lock(Role::Supervisor) {
        Ok(lock) => lock,
        Err(LockError::Held(holder)) => {
            report(&Started::AlreadyThere { pid: holder.pid });
            return Ok(0);
        }
        Err(error) => return Err(io::Error::other(error.to_string())),
    };
    run_loop::run(plan, &run, lock, signals)
}
