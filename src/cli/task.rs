//! `sexton task`.

use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use sexton_client::client::wakeup_for;
use sexton_entities::{
    event_trigger,
    states::{AuditAction, AuditTarget, TaskState, Verdict},
    task,
};

use super::{
    bulk::{self, CancelArgs, RetryArgs},
    chain::{self, ChainArgs},
    command_pid::command_pid,
    event,
    exit_code::TIMED_OUT,
    judged::{JudgedAttempt, judged},
    log::{self, LogArgs},
    lookup,
    output::{Column, Printer, or_dash, print_error, print_line},
    payload, selection,
    session::{OpenSession, ReasonArgs, Session, with_advice},
    task_end,
    task_move::{self, MoveArgs},
    task_trace::trace,
    time,
    waiting::{WhyItWaits, check_queue, listed_state, live_names_of, nobody_executes, nobody_takes, why_it_waits},
};
use crate::{
    domain::{
        command::answer::Progress,
        identity::QueueName,
        task::{NewTask, TraceParent, is_on_hold},
        text::{duration, instant::Sense, suggest},
    },
    store::{Deed, Enqueued, GroupMember, PredecessorRow, TaskFilter, WaitError},
};

#[derive(Subcommand)]
pub(super) enum TaskCommand {
    /// Enqueue a task
    Add(AddArgs),
    /// List unfinished tasks
    List(ListArgs),
    /// Show a task and its attempts
    Show {
        /// The task's id
        id: i64,
    },
    /// Cancel tasks: waiting ones at once, running ones through their node
    Cancel(CancelArgs),
    /// Retry tasks: waiting ones at once, finished ones as new tasks
    Retry(RetryArgs),
    /// Move the waiting tasks of a queue to another queue
    Move(MoveArgs),
    /// Wait for the end of a task; fails if the task failed
    Wait {
        /// The task's id
        id: i64,
        /// Time limit
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        timeout: Option<Duration>,
    },
    /// Show the output of a task's attempts
    Log(LogArgs),
}

#[derive(Args)]
pub(super) struct AddArgs {
    /// The task definition's name
    name: String,
    /// The payload: JSON, `@FILE` for the text of a file, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The queue [default: the definition's]
    #[arg(long)]
    queue: Option<QueueName>,
    /// The priority, lower goes first [default: the definition's]
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i32>,
    /// Earliest start: 15:56, `tomorrow 08:00`, 2026-12-24, `2026-12-24 18:00` or RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    at: Option<String>,
    /// Delay before the task may start
    #[arg(long = "in", value_name = "DURATION", value_parser = duration::parse)]
    delay: Option<Duration>,
    /// Enqueue only if no unfinished task has this key
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// Do not begin it later than this: a time, or a duration after the earliest start
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// The trace to which it belongs (W3C trace context)
    #[arg(long, env = "TRACEPARENT", hide_env_values = true)]
    traceparent: Option<String>,
    /// The tracestate that belongs to the traceparent
    #[arg(long, env = "TRACESTATE", hide_env_values = true)]
    tracestate: Option<String>,
    /// Enqueue also if this configuration does not define the task, or does not have the queue (another node's may)
    #[arg(long)]
    undefined: bool,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    reason: ReasonArgs,
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Only tasks of this definition
    #[arg(long)]
    name: Option<String>,
    /// Only tasks in this queue
    #[arg(long)]
    queue: Option<QueueName>,
    /// Only tasks in this state
    #[arg(long, value_parser = selection::state)]
    state: Option<TaskState>,
    /// Maximum number of tasks
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: u64,
}

pub(super) async fn run(session: &Session, output: Printer, command: TaskCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        TaskCommand::Add(args) => add(session, &open, output, args).await,
        TaskCommand::List(args) => list(&open, output, args).await,
        TaskCommand::Show { id } => show(&open, output, id).await,
        TaskCommand::Cancel(args) => bulk::cancel(session, &open, output, &args).await,
        TaskCommand::Retry(args) => bulk::retry(session, &open, output, &args).await,
        TaskCommand::Move(args) => task_move::run(session, &open, output, args).await,
        TaskCommand::Wait { id, timeout } => wait(&open, output, id, timeout).await,
        TaskCommand::Log(args) => log::run(&open, output, args).await,
    }
}

async fn add(session: &Session, open: &OpenSession, output: Printer, args: AddArgs) -> anyhow::Result<u8> {
    open.check_definition(&args.name)?;
    if !args.undefined && session.definition(&open.config, &args.name).is_none() {
        let hint = suggest::hint(&args.name, open.config.tasks.keys().map(String::as_str));
        anyhow::bail!("task `{}` is not defined here{hint} (--undefined enqueues it anyway)", args.name);
    }
    let payload = payload::json(args.payload.as_deref())?;
    if let Some(queue) = args.queue.as_ref().filter(|_| !args.undefined) {
        check_queue(session, open, queue).await?;
    }
    let now = open.store.now().await.map_err(with_advice)?;
    let ahead = |at: &str| time::parse(at, output.zone(), Sense::Future, now);
    let expires = args.expires.as_deref().and_then(|text| duration::parse(text).ok());
    let expires_at = args.expires.as_deref().filter(|_| expires.is_none());
    let expires_at = expires_at.map(ahead).transpose()?;
    let run_at = args.at.as_deref().map(ahead).transpose()?;
    let mut times = run_at.map_or_else(String::new, |at| match at <= now {
        true => format!(", to start at once ({} is past)", output.time(at)),
        false => format!(", to start at {}", output.time(at)),
    });
    times += &expires_at.map_or_else(String::new, |at| format!(", to expire at {}", output.time(at)));
    let [traceparent, tracestate] = trace(args.traceparent, args.tracestate);
    let task = NewTask {
        payload,
        queue: args.queue,
        priority: args.priority,
        run_at,
        delay: args.delay,
        unique_key: args.unique,
        expires,
        expires_at,
        traceparent,
        tracestate,
        ..NewTask::new(args.name)
    };
    let task = args.chain.apply(task)?;
    let waits = task.waits();
    let definition = session.definition(&open.config, &task.name);
    let queue = task.queue.clone().or_else(|| definition.as_ref().map(|definition| definition.queue.clone()));
    let name = task.name.clone();
    let is_undefined = definition.is_none();
    let wakeup = wakeup_for(&task);
    let deed = Deed::new(AuditAction::Enqueue, AuditTarget::Task, task.name.as_str());
    let enqueued = open.enqueue(task, &deed, &args.reason).await?;
    open.client.wake_up_now(wakeup).await?;
    let mut note = nobody_takes(open, queue.as_deref()).await?;
    let is_disabled = definition.is_some_and(|definition| definition.disabled.is_some());
    if note.is_none() && (is_undefined || is_disabled) {
        note = nobody_executes(open, &name).await?;
    }
    if waits && let Enqueued::New(id) = enqueued {
        note = chain::note_of_new(open, id).await?.or(note);
    }
    let but = note.as_ref().map(|note| format!(", but {note}")).unwrap_or_default();
    let (id, sentence) = match enqueued {
        Enqueued::New(id) => (id, format!("task {id} is enqueued{times}{but}")),
        Enqueued::AlreadyThere(id) => (id, format!("task {id} is already enqueued with this unique key")),
    };
    output.report(&sentence, &json!({ "id": id, "new": matches!(enqueued, Enqueued::New(_)), "note": note }))?;
    Ok(0)
}

async fn list(open: &OpenSession, output: Printer, args: ListArgs) -> anyhow::Result<u8> {
    let filter = TaskFilter { name: args.name, queue: args.queue, state: args.state, limit: args.limit };
    let tasks = open.store.tasks(&filter).await.map_err(with_advice)?;
    let columns = [
        Column::value("Task"),
        Column::name("Name"),
        Column::name("Queue").leaves(1),
        Column::word("State"),
        Column::value("Priority").leaves(4),
        Column::value("Attempt").leaves(3),
        Column::value("Run at"),
        Column::name("Node").leaves(5),
        Column::prose("Progress").leaves(2),
    ];
    let live = live_names_of(open, &tasks).await?;
    output.list(&tasks, columns, "There are no unfinished tasks.", |task| {
        [
            task.id.to_string(),
            task.name.clone(),
            or_dash(task.queue.clone()),
            listed_state(task, &live),
            task.priority.to_string(),
            task.attempt.to_string(),
            run_at(output, task.run_at),
            or_dash(task.node.clone()),
            or_dash(progress(task)),
        ]
    })?;
    output.note_limit(tasks.len(), filter.limit, "--limit");
    Ok(0)
}

async fn show(open: &OpenSession, output: Printer, id: i64) -> anyhow::Result<u8> {
    let task = open.store.task(id).await.map_err(with_advice)?;
    let attempts = open.attempts(id).await?;
    let origins = event::origins(open, id).await?;
    anyhow::ensure!(task.is_some() || !attempts.is_empty(), lookup::unknown_task(id));
    if output.is_json() {
        let why = match &task {
            Some(task) => why_it_waits(open, output, task).await?,
            None => None,
        };
        let [why, code] = WhyItWaits::json(why.as_ref());
        let (written, pid) = task_end::details(open, task.as_ref(), &attempts).await?;
        output.value(&ShownTask {
            task: task.as_ref(),
            history: &judged(open, attempts.clone()).await?,
            after: &open.store.predecessors(&[id]).await.map_err(with_advice)?,
            followers: &open.store.followers_of(id).await.map_err(with_advice)?,
            waits: why,
            waits_code: code,
            output: written,
            pid,
            events: origins,
            takes_long: match &task {
                Some(task) => takes_long(open, task).await?.is_some(),
                None => false,
            },
        })?;
        return Ok(0);
    }
    match &task {
        Some(task) => {
            print_line!(
                "Task {id}, {}: {}, queue {}, priority {}",
                task.name,
                task.state,
                or_dash(task.queue.clone()),
                task.priority
            );
            let expires = task.expires_at.map(|at| format!(", expires {}", output.time(at))).unwrap_or_default();
            print_line!("enqueued {}, {}{expires}", output.time(task.enqueued_at), not_before(output, task.run_at));
            if let Some(parent) = task.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok()) {
                print_line!("trace {}", parent.trace_id_text());
            }
            if let Some(payload) = &task.payload {
                print_line!("payload {payload}");
            }
            if let Some(why) = why_it_waits(open, output, task).await? {
                print_line!("{}", why.sentence);
            }
            if let Some(progress) = progress(task) {
                print_line!("progress {progress}");
            }
            if let Some(limit) = takes_long(open, task).await? {
                print_line!("it takes long: warn_after is {}", duration::text(limit));
            }
            if let Some(pid) = command_pid(&open.config, task) {
                print_line!("running as process {pid} on {}", or_dash(task.node.clone()));
            }
        }
        None => task_end::print_head(output, id, &attempts),
    }
    chain::print(open, id, task.as_ref(), &attempts).await?;
    for origin in origins {
        print_line!("it comes from event {} by trigger {}", origin.event_id, origin.trigger_name);
    }
    let columns = [
        Column::value("Attempt"),
        Column::word("Outcome"),
        Column::word("Verdict"),
        Column::value("Started").leaves(1),
        Column::value("Duration").leaves(2),
        Column::name("Node").leaves(3),
        Column::prose("Error"),
    ];
    let rows = judged(open, attempts.clone()).await?;
    output.list(&rows, columns, "No attempt has ended yet.", |judged| {
        let attempt = &judged.attempt;
        [
            attempt.attempt.to_string(),
            attempt.outcome.to_string(),
            or_dash(attempt.verdict),
            output.time_or_dash(attempt.started_at),
            or_dash(attempt.duration_ms.map(duration::short)),
            or_dash(attempt.node.clone()),
            or_dash(judged.remark()),
        ]
    })?;
    task_end::print_output(open, &attempts).await?;
    Ok(0)
}

/// A task as JSON. Its payload is written as it came.
#[derive(Serialize)]
struct ShownTask<'a> {
    task: Option<&'a task::Model>,
    history: &'a [JudgedAttempt],
    /// For what it waits, or has waited.
    after: &'a [PredecessorRow],
    /// Which tasks wait for it.
    followers: &'a [GroupMember],
    waits: Value,
    waits_code: Value,
    /// What the latest attempt wrote.
    output: Option<sexton_entities::output::Model>,
    /// The process of its command, if it runs on this machine.
    pid: Option<i32>,
    /// The events from which it came, each with its trigger.
    events: Vec<event_trigger::Model>,
    /// Whether it has been running for longer than `warn_after`.
    takes_long: bool,
}

/// The setting `warn_after` of a task that has been running for longer.
async fn takes_long(open: &OpenSession, task: &task::Model) -> anyhow::Result<Option<Duration>> {
    let limit = open.config.tasks.get(&task.name).and_then(|definition| definition.warn_after);
    let (Some(limit), Some(since), TaskState::Running) = (limit, task.started_at, task.state) else { return Ok(None) };
    let age = open.store.now().await.map_err(with_advice)? - since;
    Ok(age.to_std().is_ok_and(|age| age >= limit).then_some(limit))
}

/// The earliest start of a task.
pub(super) fn run_at(output: Printer, at: DateTime<Utc>) -> String {
    if is_on_hold(at) { "on hold".to_owned() } else { output.time(at) }
}

fn not_before(output: Printer, at: DateTime<Utc>) -> String {
    match is_on_hold(at) {
        true => "on hold: `sexton task retry` starts it".to_owned(),
        false => format!("not before {}", output.time(at)),
    }
}

/// The progress that the running attempt has reported, such as `40 % page 2`.
fn progress(task: &task::Model) -> Option<String> {
    let Progress { percent, text } = serde_json::from_value(task.progress.clone()?).ok()?;
    let words: Vec<String> = percent.map(|percent| format!("{percent} %")).into_iter().chain(text).collect();
    Some(words.join(" ")).filter(|words| !words.is_empty())
}

async fn wait(open: &OpenSession, output: Printer, id: i64, timeout: Option<Duration>) -> anyhow::Result<u8> {
    let last = match open.store.wait(id, timeout).await {
        Ok(last) => last,
        Err(WaitError::NotThere(_)) => bail!(lookup::unknown_task(id)),
        Err(WaitError::TimedOut { after, .. }) => {
            print_error!("sexton: task {id} did not end within {}", duration::text(after));
            return Ok(TIMED_OUT);
        }
        Err(WaitError::Store(error)) => return Err(with_advice(error)),
    };
    let verdict = or_dash(last.verdict);
    let error = last.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    output.report(&format!("task {id} is {verdict}{error}"), &last)?;
    Ok(u8::from(last.verdict != Some(Verdict::Completed)))
}
