//! `sexton summary`: the tables that users of OTRS know, and tables of queues, nodes and modules.

mod modules;

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use sexton_entities::{problem::Model as ProblemRow, states::TaskState, task};

use super::{
    chain,
    command_pid::command_pids,
    event,
    expected::ExpectedSchedules,
    module,
    output::{Column, Printer, or_dash, print_line},
    pause, problem,
    queue::{self, QueueListing},
    schedule,
    session::{OpenSession, Session, with_advice},
    task::run_at,
};
use crate::{
    daemon::Module,
    domain::text::duration,
    store::{EventTroubles, Maintenance, SchedulePicture, TaskFilter},
};

/// A summary comes within this time, or says why not.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Maximum number of tasks in a table.
const MAX_ROWS: u64 = 50;

#[derive(Args)]
pub(super) struct SummaryArgs {
    /// Show the summary of this daemon module instead of everything
    module: Option<String>,
}

/// What a summary shows.
struct Overview {
    problems: Vec<ProblemRow>,
    expected: ExpectedSchedules,
    schedules: Vec<SchedulePicture>,
    /// Scheduled and retryable tasks, the next one first.
    future: Vec<task::Model>,
    waiting: Vec<task::Model>,
    running: Vec<task::Model>,
    /// Tasks that wait for others, and for which.
    followers: Vec<task::Model>,
    waits_for: HashMap<i64, String>,
    /// Process ids of running commands on this machine, by task.
    pids: HashMap<i64, i32>,
    queues: Vec<QueueListing>,
    modules: Vec<Module>,
    events: EventTroubles,
    maintenance: Option<Maintenance>,
    now: DateTime<Utc>,
}

/// The same as JSON. Payloads are written as they came.
#[derive(Serialize)]
struct ShownOverview<'a> {
    maintenance: Option<&'a Maintenance>,
    problems: &'a [ProblemRow],
    schedules: Vec<Value>,
    future: &'a [task::Model],
    waiting: &'a [task::Model],
    running: Vec<TaskWithProcess<'a>>,
    followers: &'a [task::Model],
    queues: &'a [QueueListing],
    modules: &'a [Module],
    events: EventTroubles,
}

/// A running task as JSON.
#[derive(Serialize)]
struct TaskWithProcess<'a> {
    #[serde(flatten)]
    task: &'a task::Model,
    pid: Option<i32>,
    running_ms: Option<i64>,
}

pub(super) async fn run(session: &Session, output: Printer, args: &SummaryArgs) -> anyhow::Result<u8> {
    let found = async {
        match &args.module {
            Some(name) => modules::print(output, &modules::named(session, name).await?),
            None => Overview::load(session, &session.open().await?, output).await?.print(output),
        }
    };
    tokio::time::timeout(MAX_WAIT, found).await.map_err(|_| {
        anyhow::anyhow!(
            "the database did not answer within {} s: a lock may be held on Sexton's tables; the daemon's log names who \
             holds it",
            MAX_WAIT.as_secs()
        )
    })??;
    Ok(0)
}

async fn tasks(open: &OpenSession, state: TaskState) -> anyhow::Result<Vec<task::Model>> {
    let filter = TaskFilter { state: Some(state), limit: MAX_ROWS, ..TaskFilter::default() };
    open.store.tasks(&filter).await.map_err(with_advice)
}

impl Overview {
    async fn load(session: &Session, open: &OpenSession, output: Printer) -> anyhow::Result<Self> {
        let schedules = open.store.schedule_pictures().await.map_err(with_advice)?;
        let mut future = tasks(open, TaskState::Scheduled).await?;
        future.extend(tasks(open, TaskState::Retryable).await?);
        future.sort_by_key(|task| task.run_at);
        let running = tasks(open, TaskState::Running).await?;
        let followers = tasks(open, TaskState::Waiting).await?;
        Ok(Self {
            problems: problem::open(open).await?,
            expected: ExpectedSchedules::load(open).await?,
            schedules,
            future,
            waiting: tasks(open, TaskState::Available).await?,
            pids: command_pids(&open.config, &running),
            running,
            waits_for: chain::sentences(open, &followers).await?,
            followers,
            queues: queue::listed(open, output).await?,
            modules: module::known(session, false).await?,
            events: open.store.event_troubles().await.map_err(with_advice)?,
            maintenance: open.store.halt().await.map_err(with_advice)?.maintenance,
            now: open.store.now().await?,
        })
    }

    fn print(&self, output: Printer) -> anyhow::Result<()> {
        if output.is_json() {
            return output.value(&self.object());
        }
        if let Some(known) = &self.maintenance {
            print_line!("Maintenance is {}.", pause::maintained(output, known));
            print_line!("");
        }
        print_line!("Problems:");
        problem::print(output, &self.problems)?;
        print_line!("");
        self.recurring(output);
        self.future(output);
        self.waiting(output);
        self.followers(output);
        self.running(output);
        print_line!("Queues:");
        queue::print(output, &self.queues)?;
        print_line!("");
        let events = event::troubles(&self.events);
        if !events.is_empty() {
            print_line!("Events:");
            events.iter().for_each(|sentence| print_line!("{sentence}"));
            print_line!("");
        }
        modules::print_lines(&self.modules);
        Ok(())
    }

    /// The same objects as in the lists of each noun.
    fn object(&self) -> ShownOverview<'_> {
        let running = self.running.iter().map(|task| TaskWithProcess {
            task,
            pid: self.pids.get(&task.id).copied(),
            running_ms: self.running_ms(task),
        });
        let shown_schedule =
            |picture: &SchedulePicture| self.expected.complete(schedule::object(picture), &picture.schedule.name);
        ShownOverview {
            maintenance: self.maintenance.as_ref(),
            problems: &self.problems,
            schedules: self.schedules.iter().map(shown_schedule).collect(),
            future: &self.future,
            waiting: &self.waiting,
            running: running.collect(),
            followers: &self.followers,
            queues: &self.queues,
            modules: &self.modules,
            events: self.events,
        }
    }

    /// How long a task has been running, in milliseconds.
    fn running_ms(&self, task: &task::Model) -> Option<i64> {
        task.started_at.map(|since| (self.now - since).num_milliseconds().max(0))
    }

    fn recurring(&self, output: Printer) {
        let columns = [
            Column::name("Name"),
            Column::value("Last execution"),
            Column::word("Last outcome"),
            Column::value("Duration").leaves(1),
            Column::value("Next execution"),
        ];
        let row = |picture: &SchedulePicture| {
            let (schedule, last) = (&picture.schedule, picture.last.as_ref());
            let next = match (schedule.paused, schedule.paused_until) {
                (true, Some(until)) => format!("paused until {}", output.time(until)),
                (true, None) => "paused".to_owned(),
                (false, _) => output.time_or_dash(schedule.next_at),
            };
            vec![
                schedule.name.clone(),
                output.time_or_dash(last.and_then(|run| run.started_at)),
                or_dash(last.map(|run| run.outcome)),
                or_dash(last.and_then(|run| run.duration_ms).map(duration::short)),
                format!("{next}{}", self.expected.overdue(output, &schedule.name)),
            ]
        };
        let rows: Vec<_> = self.schedules.iter().map(row).collect();
        headed(output, "Recurrent tasks", &columns, &rows, "There are no recurrent tasks.");
    }

    fn future(&self, output: Printer) {
        let none = "There are currently no tasks to be executed in future.";
        let columns = [
            Column::value("Task"),
            Column::name("Name"),
            Column::name("Queue").leaves(1),
            Column::value("To execute at"),
            Column::value("Attempt").leaves(2),
        ];
        let row = |task: &task::Model| {
            let attempt = task.attempt.saturating_add(1).to_string();
            // It is looked at again at that time, and waits on if no node has it by then.
            let at = if task.unknown_since.is_some() { "set aside".to_owned() } else { run_at(output, task.run_at) };
            vec![task.id.to_string(), task.name.clone(), or_dash(task.queue.clone()), at, attempt]
        };
        let rows: Vec<_> = self.future.iter().map(row).collect();
        headed(output, "Tasks to be executed in future", &columns, &rows, none);
    }

    fn waiting(&self, output: Printer) {
        let none = "There are currently no tasks waiting to be executed.";
        let columns = [
            Column::value("Task"),
            Column::name("Name"),
            Column::name("Queue"),
            Column::value("Priority").leaves(1),
            Column::value("Enqueued at"),
        ];
        let row = |task: &task::Model| {
            let (priority, enqueued) = (task.priority.to_string(), output.time(task.enqueued_at));
            vec![task.id.to_string(), task.name.clone(), or_dash(task.queue.clone()), priority, enqueued]
        };
        let rows: Vec<_> = self.waiting.iter().map(row).collect();
        headed(output, "Waiting tasks", &columns, &rows, none);
    }

    /// Most applications have none, and need no table of them.
    fn followers(&self, output: Printer) {
        if self.followers.is_empty() {
            return;
        }
        let columns =
            [Column::value("Task"), Column::name("Name"), Column::name("Queue").leaves(1), Column::prose("Waits")];
        let row = |task: &task::Model| {
            let why = or_dash(self.waits_for.get(&task.id));
            vec![task.id.to_string(), task.name.clone(), or_dash(task.queue.clone()), why]
        };
        let rows: Vec<_> = self.followers.iter().map(row).collect();
        headed(output, "Tasks that wait for others", &columns, &rows, "");
    }

    fn running(&self, output: Printer) {
        let columns = [
            Column::value("Task"),
            Column::name("Name"),
            Column::name("Queue").leaves(2),
            Column::name("Node").leaves(1),
            Column::value("Process"),
            Column::value("Duration"),
        ];
        let row = |task: &task::Model| {
            vec![
                task.id.to_string(),
                task.name.clone(),
                or_dash(task.queue.clone()),
                or_dash(task.node.clone()),
                or_dash(self.pids.get(&task.id)),
                or_dash(self.running_ms(task).map(duration::short)),
            ]
        };
        let rows: Vec<_> = self.running.iter().map(row).collect();
        headed(output, "Running tasks", &columns, &rows, "There are currently no tasks being executed.");
    }
}

fn headed(output: Printer, header: &str, columns: &[Column], rows: &[Vec<String>], none: &str) {
    print_line!("{header}:");
    output.table(columns, rows, none);
    print_line!("");
}
