//! Kind `command`: runs a program, with the payload on its standard input.
//!
//! The program is a group of processes of its own, so that what it started ends with it. Who stands over the
//! program is this file's concern alone: a shepherd process can take its place without anybody noticing.

use std::{process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
};

use super::{attempt::told, context::TaskContext, error::TaskError, task_handler::TaskHandler};
use crate::domain::{
    capture::Capture,
    definition::{COMMAND, CommandSpec},
};

/// How long output is still read after the program's end, where something that it left behind keeps the pipe open.
const AFTERMATH: Duration = Duration::from_millis(250);

/// Executes kind `command`.
#[derive(Clone, Copy, Debug)]
pub struct CommandHandler;

/// Kills the group unless the program has been seen to end: an attempt that is dropped leaves nothing behind.
struct Group(Option<Pid>);

impl TaskHandler for CommandHandler {
    const KIND: &'static str = COMMAND;
    type Payload = Value;

    async fn run(&self, payload: Value, context: &TaskContext) -> Result<(), TaskError> {
        let Some(spec) = &context.definition().command else {
            return Err(TaskError::discard("the definition has no command"));
        };
        let mut child = spawn(spec, context)?;
        let mut group = Group(child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw));
        let mut out = Capture::new(spec.output_limit);
        let mut err = Capture::new(spec.output_limit);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feeding = async {
            if let Some(mut stdin) = stdin {
                let input = if payload.is_null() { String::new() } else { payload.to_string() };
                // A program that does not want its input is no failure.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let reading = async {
            tokio::join!(read(stdout, &mut out), read(stderr, &mut err), feeding);
        };
        let mut reading = Box::pin(reading);
        let mut read_out = false;
        let status = tokio::select! {
            status = wait(&mut child, &mut group, context) => status?,
            () = async { (&mut reading).await; read_out = true; std::future::pending().await } => unreachable!("pending"),
        };
        group.0 = None;
        if !read_out {
            let _ = tokio::time::timeout(AFTERMATH, &mut reading).await;
        }
        drop(reading);
        report(context, status, out, err)
    }
}

fn spawn(spec: &CommandSpec, context: &TaskContext) -> Result<Child, TaskError> {
    let task = context.task();
    let mut command = Command::new(&spec.argv[0]);
    command.args(&spec.argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Its own settings may carry the database's password.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEXTON_")) {
        command.env_remove(name);
    }
    command
        .envs(&spec.env)
        .env("SEXTON_TASK_ID", task.id.to_string())
        .env("SEXTON_TASK_NAME", &task.name)
        .env("SEXTON_TASK_ATTEMPT", task.attempt.to_string())
        .env("SEXTON_TASK_FENCE", task.fence.to_string())
        .env("SEXTON_TASK_QUEUE", &task.queue)
        .process_group(0)
        .kill_on_drop(true);
    if let Some(schedule) = &task.schedule {
        command.env("SEXTON_TASK_SCHEDULE", schedule);
    }
    if let Some(due) = &task.due_at {
        command.env("SEXTON_TASK_DUE_AT", due.to_rfc3339());
    }
    if let Some(dir) = &spec.dir {
        command.current_dir(dir);
    }
    command.spawn().map_err(|error| TaskError::new(format!("cannot start {}: {}", spec.argv[0], why(spec, &error))))
}

/// The operating system tells of a missing working directory as of a missing program.
fn why(spec: &CommandSpec, error: &std::io::Error) -> String {
    match &spec.dir {
        Some(dir) if !dir.is_dir() => format!("the directory {} is not there", dir.display()),
        _ => error.to_string(),
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>, capture: &mut Capture) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        capture.write(&buffer[..count]);
    }
}

/// Waits for the program; once it is to end, asks its group politely, and after the grace does not ask any more.
async fn wait(
    child: &mut Child,
    group: &mut Group,
    context: &TaskContext,
) -> Result<std::process::ExitStatus, TaskError> {
    tokio::select! {
        status = child.wait() => return Ok(status?),
        () = context.cancelled() => {}
    }
    group.signal(Signal::SIGTERM);
    let ended = tokio::time::timeout(context.grace(), child.wait()).await;
    // The leader may have gone while others of its group stay.
    group.signal(Signal::SIGKILL);
    match ended {
        Ok(status) => Ok(status?),
        Err(_) => Ok(child.wait().await?),
    }
}

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn report(
    context: &TaskContext,
    status: std::process::ExitStatus,
    out: Capture,
    err: Capture,
) -> Result<(), TaskError> {
    use std::os::unix::process::ExitStatusExt as _;
    context.report(|report| {
        report.exit_code = status.code();
        report.signal = status.signal();
        report.truncated = out.is_truncated() || err.is_truncated();
        report.stdout = out.into_text();
        report.stderr = err.into_text();
    });
    let ended = match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(signal)) => {
            Some(format!("killed by {}", Signal::try_from(signal).map_or("a signal", Signal::as_str)))
        }
        (None, None) => Some("it ended in an unknown way".to_owned()),
    };
    match (context.stop_reason(), ended) {
        (Some(reason), Some(ended)) => Err(TaskError::new(format!("{}: {ended}", told(reason, context)))),
        (_, None) => Ok(()),
        (None, Some(ended)) if status.signal().is_some() => Err(TaskError::crash(ended)),
        (None, Some(ended)) => Err(TaskError::new(ended)),
    }
}
