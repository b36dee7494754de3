//! `sexton task`.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use sexton_entities::{
    history,
    states::{TaskState, Verdict},
};

use super::{
    TIMED_OUT,
    log::{self, LogArgs},
    output::{Printer, or_dash, say},
    session::{Open, Session, explained},
    time,
};
use crate::{
    client::wakeup_for,
    domain::{command::answer::Progress, identity::QueueName, task::NewTask, text::duration},
    store::{CancelResult, Enqueued, HistoryFilter, TaskFilter, Wakeup},
};

/// Between two looks at a task that is waited for.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Subcommand)]
pub(super) enum TaskCommand {
    /// Enqueue a task
    Add(AddArgs),
    /// List unfinished tasks
    List(ListArgs),
    /// Show a task and its attempts
    Show {
        /// The task's number
        id: i64,
    },
    /// Cancel tasks: waiting ones at once, running ones by their node
    Cancel {
        /// The tasks' numbers
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Try tasks again: waiting ones at once, finished ones as new tasks
    Retry {
        /// The tasks' numbers
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Wait for the end of a task; fails if the task did
    Wait {
        /// The task's number
        id: i64,
        /// Give up after so long
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        timeout: Option<Duration>,
    },
    /// Show what a task's attempts wrote
    Log(LogArgs),
}

#[derive(Args)]
pub(super) struct AddArgs {
    /// The task definition
    name: String,
    /// The payload
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The queue [default: the definition's]
    #[arg(long)]
    queue: Option<QueueName>,
    /// The priority, lower goes first [default: the definition's]
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Not before this time
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    at: Option<String>,
    /// Not before so long from now
    #[arg(long = "in", value_name = "DURATION", value_parser = duration::parse)]
    delay: Option<Duration>,
    /// Only if no unfinished task has this key
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// Even if this configuration does not define it, because a node's does
    #[arg(long)]
    undefined: bool,
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Of this name only
    #[arg(long)]
    name: Option<String>,
    /// In this queue only
    #[arg(long)]
    queue: Option<QueueName>,
    /// In this state only
    #[arg(long, value_parser = state)]
    state: Option<TaskState>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: u64,
}

fn state(word: &str) -> Result<TaskState, String> {
    let all: Vec<&str> = TaskState::ALL.iter().map(|state| state.as_str()).collect();
    TaskState::from_word(word).ok_or_else(|| format!("expected one of {}", all.join(", ")))
}

pub(super) async fn run(session: &Session, output: Printer, command: TaskCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        TaskCommand::Add(args) => add(session, &open, output, args).await,
        TaskCommand::List(args) => list(&open, output, args).await,
        TaskCommand::Show { id } => show(&open, output, id).await,
        TaskCommand::Cancel { ids } => cancel(&open, output, &ids).await,
        TaskCommand::Retry { ids } => retry(&open, output, &ids).await,
        TaskCommand::Wait { id, timeout } => wait(&open, output, id, timeout).await,
        TaskCommand::Log(args) => log::run(&open, output, args).await,
    }
}

async fn add(session: &Session, open: &Open, output: Printer, args: AddArgs) -> anyhow::Result<u8> {
    if !args.undefined && session.definition(&open.config, &args.name).is_none() {
        let near = open
            .config
            .tasks
            .keys()
            .max_by(|a, b| strsim::jaro_winkler(a, &args.name).total_cmp(&strsim::jaro_winkler(b, &args.name)));
        let hint = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        anyhow::bail!("no task `{}` is defined here{hint} (--undefined enqueues it all the same)", args.name);
    }
    let payload = match &args.payload {
        Some(text) => Some(serde_json::from_str(text).with_context(|| format!("the payload is not JSON: {text}"))?),
        None => None,
    };
    let run_at = args.at.as_deref().map(|at| time::parse(at, open.config.daemon.timezone)).transpose()?;
    let task = NewTask {
        payload,
        queue: args.queue,
        priority: args.priority,
        run_at,
        delay: args.delay,
        unique_key: args.unique,
        ..NewTask::new(args.name)
    };
    let wakeup = wakeup_for(&task);
    let enqueued = open.client.enqueue_in(open.store.connection(), task).await.map_err(explained)?;
    open.client.wake_up_now(wakeup).await?;
    let (id, sentence) = match enqueued {
        Enqueued::New(id) => (id, format!("task {id} is enqueued")),
        Enqueued::AlreadyThere(id) => (id, format!("already there: task {id} has this unique key")),
    };
    output.done(&sentence, &json!({ "id": id, "new": matches!(enqueued, Enqueued::New(_)) }))?;
    Ok(0)
}

async fn list(open: &Open, output: Printer, args: ListArgs) -> anyhow::Result<u8> {
    let filter = TaskFilter { name: args.name, queue: args.queue, state: args.state, limit: args.limit };
    let tasks = open.store.tasks(&filter).await.map_err(explained)?;
    let columns = ["Task", "Name", "Queue", "State", "Priority", "Attempt", "Run at", "Node"];
    output.list(&tasks, columns, "There are no unfinished tasks.", |task| {
        [
            task.id.to_string(),
            task.name.clone(),
            or_dash(task.queue.clone()),
            task.state.to_string(),
            task.priority.to_string(),
            task.attempt.to_string(),
            time::shown(task.run_at),
            or_dash(task.node.clone()),
        ]
    })?;
    Ok(0)
}

/// The attempts of a task, the oldest first.
pub(super) async fn attempts(open: &Open, id: i64) -> anyhow::Result<Vec<history::Model>> {
    let filter = HistoryFilter { task_id: Some(id), limit: 1_000, ..HistoryFilter::default() };
    let mut attempts = open.store.history(&filter).await.map_err(explained)?;
    attempts.reverse();
    Ok(attempts)
}

async fn show(open: &Open, output: Printer, id: i64) -> anyhow::Result<u8> {
    let task = open.store.task(id).await.map_err(explained)?;
    let attempts = attempts(open, id).await?;
    anyhow::ensure!(task.is_some() || !attempts.is_empty(), "there is no task {id}, and none on record");
    if output.is_json() {
        output.value(&json!({ "task": task, "history": attempts }))?;
        return Ok(0);
    }
    match &task {
        Some(task) => {
            say!(
                "Task {id}, {}: {}, queue {}, priority {}",
                task.name,
                task.state,
                or_dash(task.queue.clone()),
                task.priority
            );
            say!("enqueued {}, not before {}", time::shown(task.enqueued_at), time::shown(task.run_at));
            if let Some(payload) = &task.payload {
                say!("payload {payload}");
            }
            if let Some(progress) = task.progress.clone().and_then(|said| serde_json::from_value(said).ok()) {
                say!("{}", shown_progress(&progress));
            }
        }
        None => say!("Task {id}, {}: finished", attempts[0].name),
    }
    let columns = ["Attempt", "Outcome", "Verdict", "Started", "Duration", "Node", "Error"];
    output.list(&attempts, columns, "No attempt has ended yet.", |attempt| {
        [
            attempt.attempt.to_string(),
            attempt.outcome.to_string(),
            or_dash(attempt.verdict),
            or_dash(attempt.started_at.map(time::shown)),
            or_dash(attempt.duration_ms.map(duration::short)),
            or_dash(attempt.node.clone()),
            or_dash(attempt.error.clone()),
        ]
    })?;
    Ok(0)
}

fn shown_progress(progress: &Progress) -> String {
    let percent = progress.percent.map(|percent| format!(" {percent} %")).unwrap_or_default();
    let text = progress.text.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
    format!("progress{percent}{text}")
}

async fn cancel(open: &Open, output: Printer, ids: &[i64]) -> anyhow::Result<u8> {
    let mut failed = 0;
    for id in ids {
        let (sentence, result) = match open.store.cancel(*id).await.map_err(explained)? {
            CancelResult::Cancelled => (format!("task {id} is cancelled"), "cancelled"),
            CancelResult::Requested => {
                open.client.wake_up_now(Wakeup::Cancel).await?;
                (format!("task {id} runs; its node will stop it"), "requested")
            }
            CancelResult::NotThere => {
                failed = 1;
                (format!("there is no unfinished task {id}"), "not_there")
            }
        };
        output.done(&sentence, &json!({ "id": id, "result": result }))?;
    }
    Ok(failed)
}

async fn retry(open: &Open, output: Printer, ids: &[i64]) -> anyhow::Result<u8> {
    let mut failed = 0;
    for id in ids {
        let (sentence, object) = if let Some(task) = open.store.task(*id).await.map_err(explained)? {
            let hurried = open.store.run_now(*id).await?;
            let sentence = match hurried {
                true => format!("task {id} is available now"),
                false => format!("task {id} is {} already", task.state),
            };
            (sentence, json!({ "id": id, "new": false }))
        } else if let Some(last) = attempts(open, *id).await?.pop() {
            let task =
                NewTask { payload: last.payload, queue: last.queue.map(QueueName::from), ..NewTask::new(last.name) };
            let enqueued = open.client.enqueue_in(open.store.connection(), task).await?;
            let (Enqueued::New(new) | Enqueued::AlreadyThere(new)) = enqueued;
            (format!("task {id} had ended; it is enqueued again as task {new}"), json!({ "id": new, "new": true }))
        } else {
            failed = 1;
            (format!("there is no task {id}, and none on record"), json!({ "id": id, "new": false }))
        };
        output.done(&sentence, &object)?;
    }
    open.client.wake_up_now(Wakeup::Now).await?;
    Ok(failed)
}

async fn wait(open: &Open, output: Printer, id: i64, timeout: Option<Duration>) -> anyhow::Result<u8> {
    let begun = Instant::now();
    loop {
        if open.store.task(id).await.map_err(explained)?.is_none() {
            let last = attempts(open, id).await?.into_iter().rfind(|attempt| attempt.verdict.is_some());
            let last = last.with_context(|| format!("there is no task {id}, and none on record"))?;
            let verdict = or_dash(last.verdict);
            let error = last.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            output.done(&format!("task {id} is {verdict}{error}"), &json!(last))?;
            return Ok(u8::from(last.verdict != Some(Verdict::Completed)));
        }
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            eprintln!("sexton: task {id} has not ended within {}", duration::text(timeout.unwrap_or_default()));
            return Ok(TIMED_OUT);
        }
        tokio::time::sleep(LOOK).await;
    }
}
