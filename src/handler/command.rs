//! Kind `command`: runs a program under a shepherd, with the payload on its standard input.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};
use sexton_entities::json_text::JsonText;

use super::{
    attempt::stop_text,
    context::{StopReason, TaskContext},
    error::TaskError,
    task_handler::{DynHandler, TaskHandler},
};
use crate::{
    domain::{
        command::{CommandSpec, OnDaemonStop, Stopped, service::StopSignal},
        identity::{DatabaseId, NodeId},
        task::{
            ClaimedTask,
            definition::{COMMAND, TaskDefinition},
        },
    },
    shepherd::{
        AttemptDir, AttemptDirState, AttemptManifest, LaunchSpec, Shepherd, Shepherds, StopOrder, boot_id,
        end_lost_command, retry_on_shortage,
    },
};

/// How often the progress of a running command is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Executes kind `command`.
#[derive(Clone, Copy, Debug)]
pub struct CommandHandler;

/// A command that was started by an earlier daemon or an earlier worker.
#[derive(Clone, Debug)]
pub struct AdoptedCommand {
    /// The directory of its attempt.
    pub attempt_dir: AttemptDir,
    /// The boot in which it began.
    pub boot_id: String,
    /// Whether the claim of this attempt still holds. If not, the command is stopped.
    pub is_ours: bool,
}

/// What the manifest says about a task's attempt, for the daemon that adopts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandInfo {
    /// The database that the task is of. Earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseId>,
    /// The task as it was claimed.
    pub task: ClaimedTask,
    /// The definition at that time.
    pub definition: TaskDefinition,
}

impl TaskHandler for CommandHandler {
    const KIND: &'static str = COMMAND;
    const ENDS_BY_ITSELF: bool = true;
    type Payload = JsonText;

    async fn run(&self, payload: JsonText, context: &TaskContext) -> Result<(), TaskError> {
        let Some(command) = &context.definition().command else {
            return Err(TaskError::discard("the definition has no command"));
        };
        let Some(shepherds) = context.app_data::<Shepherds>() else {
            return Err(TaskError::new("this program has no shepherds, so it cannot run commands"));
        };
        let input = (!payload.is_null()).then(|| payload.get().to_owned());
        let about = CommandInfo {
            database: context.app_data::<DatabaseId>().cloned(),
            task: context.task().clone(),
            definition: context.definition().clone(),
        };
        let manifest =
            AttemptManifest { boot_id: boot_id().to_owned(), spec: launch_spec(command, context, shepherds), about };
        let claim = context.task().claim;
        // From here on the command may run, even if this worker is lost.
        context.outlive_worker();
        let started = shepherds.start(claim, &manifest, input.as_deref().map(str::as_bytes)).await;
        let shepherd = started.map_err(|error| {
            let told = format!("cannot start {}: {error}", command.argv[0]);
            if is_of_this_attempt(&error) { TaskError::new(told) } else { TaskError::give_back(told) }
        })?;
        follow(&shepherd, context).await?;
        report_end(shepherd.attempt_dir(), context, command).await
    }
}

impl DynHandler for AdoptedCommand {
    fn call<'a>(
        &'a self,
        _: Option<JsonText>,
        context: &'a TaskContext,
    ) -> futures::future::LocalBoxFuture<'a, Result<(), TaskError>> {
        Box::pin(async move {
            context.outlive_worker();
            // Once the end is recorded, the directory is removed, so that no daemon adopts the attempt again.
            context.report(|report| report.attempt_dir = Some(self.attempt_dir.path().to_owned()));
            let Some(command) = &context.definition().command else {
                return Err(TaskError::discard("the definition has no command"));
            };
            let interrupted = |why, node_died| {
                context.stop(StopReason::Interrupted, Duration::ZERO);
                context.report(|report| report.node_died = node_died);
                Err(TaskError::new(why))
            };
            if !self.is_ours {
                context.stop(StopReason::Superseded, context.definition().kill_after);
            }
            match self.inspect().await? {
                AttemptDirState::Running(pid) => {
                    follow(&retry_on_shortage(|| Shepherd::watch(self.attempt_dir.clone(), pid)).await?, context)
                        .await?;
                }
                AttemptDirState::Ended => {}
                AttemptDirState::Lost { .. } if self.boot_id != boot_id() => {
                    return interrupted("the machine was rebooted while it ran", true);
                }
                AttemptDirState::Lost { begun: false } => {
                    return interrupted("the daemon died before the command started", false);
                }
                AttemptDirState::Lost { begun: true } => {}
            }
            report_end(&self.attempt_dir, context, command).await
        })
    }

    fn ends_by_itself(&self) -> bool {
        true
    }
}

impl From<StopReason> for Stopped {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::TimedOut => Self::TimedOut,
            StopReason::Cancelled => Self::Cancelled,
            StopReason::LeaseLost => Self::LeaseLost,
            StopReason::Superseded => Self::Superseded,
            StopReason::PeriodOver | StopReason::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Stopped> for StopReason {
    fn from(why: Stopped) -> Self {
        match why {
            Stopped::TimedOut => Self::TimedOut,
            Stopped::Cancelled => Self::Cancelled,
            Stopped::LeaseLost => Self::LeaseLost,
            Stopped::Superseded => Self::Superseded,
            Stopped::Interrupted => Self::Interrupted,
        }
    }
}

impl AdoptedCommand {
    /// The state of the attempt; waits while a shepherd is being started.
    async fn inspect(&self) -> io::Result<AttemptDirState> {
        loop {
            match retry_on_shortage(|| self.attempt_dir.inspect()).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(POLL_INTERVAL / 50).await,
                found => return found,
            }
        }
    }
}

/// Whether an attempt could not begin for a reason of its own. Everything else is a trouble of this machine, because its
/// program is started later: a full disk, too many processes or open files, a shepherd that cannot be started.
fn is_of_this_attempt(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

/// What the shepherd needs to know.
fn launch_spec(command: &CommandSpec, context: &TaskContext, shepherds: &Shepherds) -> LaunchSpec {
    let (task, definition) = (context.task(), context.definition());
    let schedule = task.schedule.as_ref().and(definition.schedule.as_ref());
    let when = schedule.map(|schedule| format!(" - {}", schedule.spec())).unwrap_or_default();
    LaunchSpec {
        title: format!("sexton: [{}] {}{when} #{}", task.queue, task.name, task.claim.task_id),
        argv: command.argv.clone(),
        env: environment(command, context, shepherds.node()),
        dir: LaunchSpec::dir_of(command),
        limits: command.limits.clone(),
        output: command.output,
        timeout: definition.timeout,
        kill_after: definition.kill_after,
        stop_signal: StopSignal::default(),
        keep_background: command.keep_background,
        uses_pipes: false,
        lease: context.lease(),
        ends_with_daemon: command.on_daemon_stop == Some(OnDaemonStop::Stop),
        cgroup: shepherds.cgroup(),
    }
}

/// The environment of a command: variables passed on by the daemon, from the payload, from the definition, and about
/// the attempt. Later ones replace earlier ones.
fn environment(command: &CommandSpec, context: &TaskContext, node: &NodeId) -> Vec<(String, String)> {
    let (task, definition) = (context.task(), context.definition());
    let mut variables = command.passed_on(std::env::vars_os());
    variables.extend(command.from_payload(task.payload.as_ref()));
    variables.extend(command.env.clone());
    let mut set = |name: &str, value: Option<String>| {
        variables.extend(value.map(|value| (format!("SEXTON_TASK_{name}"), value)));
    };
    set("ID", Some(task.claim.task_id.to_string()));
    set("NAME", Some(task.name.clone()));
    set("ATTEMPT", Some(task.attempt.to_string()));
    set("MAX_ATTEMPTS", Some(task.max_attempts.unwrap_or(definition.max_attempts).to_string()));
    set("FENCE", Some(task.claim.fence.to_string()));
    set("QUEUE", Some(task.queue.to_string()));
    set("NODE", Some(node.to_string()));
    set("SCHEDULE", task.schedule.clone());
    set("DUE_AT", task.due_at.map(|due| due.to_rfc3339()));
    let limit = definition.timeout.and_then(|limit| chrono::TimeDelta::from_std(limit).ok());
    set("DEADLINE", limit.and_then(|limit| task.started_at.checked_add_signed(limit)).map(|at| at.to_rfc3339()));
    set("AFTER", task.predecessors.as_ref().map(ToString::to_string));
    // The span that the command continues.
    variables.extend(context.traceparent().map(|parent| ("TRACEPARENT".to_owned(), parent)));
    variables.extend(context.tracestate().map(|state| ("TRACESTATE".to_owned(), state.to_owned())));
    variables
}

/// Waits for the end of the shepherd. Passes a stop on to it, and the command's progress to the task.
async fn follow(shepherd: &Shepherd, context: &TaskContext) -> Result<(), TaskError> {
    let mut ended = std::pin::pin!(shepherd.ended());
    let mut is_stopped = false;
    loop {
        tokio::select! {
            biased;
            result = &mut ended => return Ok(result?),
            () = context.cancelled(), if !is_stopped => {
                is_stopped = true;
                let why = context.stop_reason().unwrap_or(StopReason::Interrupted).into();
                if let Err(error) = shepherd.stop(&StopOrder { why, grace: context.grace() }) {
                    tracing::warn!(task.id = context.task_id(), "cannot write the order to stop: {error}");
                }
            }
            () = tokio::time::sleep(POLL_INTERVAL) => {
                if let Some(progress) = shepherd.attempt_dir().progress() {
                    context.progress(progress);
                }
            }
        }
    }
}

/// Reads the result from the attempt directory, and reports it to the task.
async fn report_end(attempt_dir: &AttemptDir, context: &TaskContext, command: &CommandSpec) -> Result<(), TaskError> {
    let result = retry_on_shortage(|| attempt_dir.result()).await?;
    let is_lost = result.is_none();
    let end = result.unwrap_or_else(|| end_lost_command(attempt_dir));
    if let Some(why) = end.stopped {
        context.stop(why.into(), Duration::ZERO);
    }
    let judged = end.judge(command);
    let stopped = end.stopped;
    context.report(|report| {
        report.exit_code = end.exit_code;
        report.signal = end.signal.map(|(number, _)| number);
        report.core_dumped = Some(end.core_dumped);
        report.usage = Some(end.usage);
        report.result = end.answer.result;
        report.next_payload = end.answer.payload;
        report.stdout = end.stdout;
        report.stderr = end.stderr;
        if let Some(problem) = end.answer.problem {
            report.stderr.add_line(&format!("sexton: invalid answer of the command: {problem}"));
        }
        report.took = Some(end.took);
        report.left_behind = i32::try_from(end.left_behind).ok().filter(|count| *count > 0);
        report.attempt_dir = Some(attempt_dir.path().to_owned());
    });
    judged.map_err(|failure| {
        let error = match (stopped, context.stop_reason()) {
            (Some(_), Some(reason)) => format!("{}: {}", stop_text(reason, context), failure.error),
            _ => failure.error,
        };
        TaskError::of_command(error, failure.wish, failure.is_crash || is_lost)
    })
}
