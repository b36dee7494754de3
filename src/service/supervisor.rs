//! The process supervisor of `sexton start`: this binary in a hidden mode, small, without database and configuration.
//! It keeps a daemon running that would otherwise stay down, and lets one be that has ended in good order.

mod child;
mod endpoint;
mod journal;
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
    rundir::{Role, RunDir},
};

/// What the process supervisor is called, and by which it knows itself.
const TITLE: &str = "sexton: supervisor";
/// Starts a process supervisor, and waits for what comes of it.
///
/// # Errors
/// What the operating system says.
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
        Ok(status) => io::Error::other(format!("the process supervisor ended before it could say anything ({status})")),
        Err(error) => error,
    })
}

/// Turns this process into a process supervisor, if it was started as one, and then does not return.
///
/// It belongs at the very beginning of `main`.
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
    // It belongs to no terminal: a closed one is not to end it.
    nix::unistd::setsid()?;
    let run = RunDir::at(&plan.run_dir);
    run.create().map_err(|error| io::Error::new(error.kind(), format!("daemon.run_dir: {error}")))?;
    let lock = match run.lock(Role::Supervisor) {
        Ok(lock) => lock,
        Err(LockError::Held(holder)) => {
            report(&Started::AlreadyThere { pid: holder.pid });
            return Ok(0);
        }
        Err(error) => return Err(io::Error::other(error.to_string())),
    };
    let code = run_loop::watch(plan, &run, lock);
    run.clear_state();
    let _ = std::fs::remove_file(run.notify_socket());
    code
}
