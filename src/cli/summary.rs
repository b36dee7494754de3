//! `sexton summary`: the tables that users of OTRS know, and tables of queues, nodes and modules.

use std::time::Duration;

use clap::Args;
use sexton_entities::{
    states::{Outcome, TaskState},
    task,
};

use super::{
    module,
    output::{Printer, or_dash, print_line},
    queue::{self, QueueListing},
    session::{OpenSession, Session, with_advice},
    time,
};
use crate::{
    daemon::Module,
    domain::{
        daemon::summary::SummaryTable,
        task::is_on_hold,
        text::{duration, suggest},
    },
    store::{SchedulePicture, TaskFilter},
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

pub(super) async fn run(session: &Session, output: Printer, args: &SummaryArgs) -> anyhow::Result<u8> {
    let found = async {
        match &args.module {
            Some(name) => module_tables(session, name).await,
            None => everything(session, &session.open().await?).await,
        }
    };
    let tables = tokio::time::timeout(MAX_WAIT, found).await.map_err(|_| {
        anyhow::anyhow!(
            "the database did not answer within {} s: a lock may be held on Sexton's tables; the daemon's log names who \
             holds it",
            MAX_WAIT.as_secs()
        )
    })??;
    if output.is_json() {
        output.value(&tables)?;
        return Ok(0);
    }
    for table in tables {
        print_line!("{}:", table.header);
        output.table(&table.columns, &table.rows, &table.none);
        print_line!("");
    }
    Ok(0)
}

async fn everything(session: &Session, open: &OpenSession) -> anyhow::Result<Vec<SummaryTable>> {
    Ok(vec![
        recurrent(&open.store.schedule_pictures().await.map_err(with_advice)?),
        future(&tasks(open, TaskState::Scheduled).await?, &tasks(open, TaskState::Retryable).await?),
        waiting(&tasks(open, TaskState::Available).await?),
        running(open).await?,
        queues(open).await?,
        modules(session).await?,
    ])
}

async fn tasks(open: &OpenSession, state: TaskState) -> anyhow::Result<Vec<task::Model>> {
    let filter = TaskFilter { state: Some(state), limit: MAX_ROWS, ..TaskFilter::default() };
    open.store.tasks(&filter).await.map_err(with_advice)
}

fn recurrent(pictures: &[SchedulePicture]) -> SummaryTable {
    let columns = ["Name", "Last execution", "Last status", "Last duration", "Next execution"];
    let mut table = SummaryTable::new("Recurrent tasks", &columns, "There are no recurrent tasks.");
    for SchedulePicture { schedule, last } in pictures {
        let status = match last.as_ref().map(|run| run.outcome) {
            None => "N/A".to_owned(),
            Some(Outcome::Succeeded) => "Success".to_owned(),
            Some(Outcome::Skipped) => "Skipped".to_owned(),
            Some(outcome) => format!("Fail ({outcome})"),
        };
        table.row([
            schedule.name.clone(),
            or_dash(last.as_ref().and_then(|run| run.started_at).map(time::text)),
            status,
            or_dash(last.as_ref().and_then(|run| run.duration_ms).map(duration::short)),
            if schedule.paused { "paused".to_owned() } else { or_dash(schedule.next_at.map(time::text)) },
        ]);
    }
    table
}

fn future(scheduled: &[task::Model], retryable: &[task::Model]) -> SummaryTable {
    let none = "There are currently no tasks to be executed in future.";
    let mut table = SummaryTable::new(
        "Tasks to be executed in future",
        &["Task", "Name", "Queue", "To execute at", "Attempt"],
        none,
    );
    let mut all: Vec<&task::Model> = scheduled.iter().chain(retryable).collect();
    all.sort_by_key(|task| task.run_at);
    for task in all {
        table.row([
            task.id.to_string(),
            task.name.clone(),
            or_dash(task.queue.clone()),
            if is_on_hold(task.run_at) { "on hold".to_owned() } else { time::text(task.run_at) },
            task.attempt.saturating_add(1).to_string(),
        ]);
    }
    table
}

fn waiting(available: &[task::Model]) -> SummaryTable {
    let none = "There are currently no tasks waiting to be executed.";
    let mut table = SummaryTable::new("Waiting tasks", &["Task", "Name", "Queue", "Priority", "Enqueued at"], none);
    for task in available {
        table.row([
            task.id.to_string(),
            task.name.clone(),
            or_dash(task.queue.clone()),
            task.priority.to_string(),
            time::text(task.enqueued_at),
        ]);
    }
    table
}

async fn running(open: &OpenSession) -> anyhow::Result<SummaryTable> {
    let nodes = open.store.nodes().await.map_err(with_advice)?;
    let now = open.store.now().await?;
    let columns = ["Task", "Name", "Queue", "Node", "Pid", "Duration"];
    let mut table = SummaryTable::new("Running tasks", &columns, "There are currently no tasks being executed.");
    for task in tasks(open, TaskState::Running).await? {
        let node = nodes.iter().find(|node| Some(&node.id) == task.node.as_ref());
        table.row([
            task.id.to_string(),
            task.name.clone(),
            or_dash(task.queue.clone()),
            or_dash(task.node.clone()),
            or_dash(node.map(|node| node.pid)),
            or_dash(task.started_at.map(|since| duration::short((now - since).num_milliseconds()))),
        ]);
    }
    Ok(table)
}

async fn queues(open: &OpenSession) -> anyhow::Result<SummaryTable> {
    let columns = ["Queue", "State", "Available", "Running", "Scheduled", "Retryable"];
    let mut table = SummaryTable::new("Queues", &columns, "There are no queues.");
    for QueueListing { row: queue, state, .. } in queue::listed(open).await? {
        let counts = [queue.available, queue.running, queue.scheduled, queue.retryable].map(|count| count.to_string());
        table.row([queue.name.to_string(), state].into_iter().chain(counts));
    }
    Ok(table)
}

async fn modules(session: &Session) -> anyhow::Result<SummaryTable> {
    let mut table = SummaryTable::new(
        "Daemon modules",
        &["Node", "Module", "State", "Failures", "Last error"],
        "No node is running.",
    );
    for Module { node, status } in module::known(session, false).await? {
        table.row([
            node,
            status.name,
            status.state.to_string(),
            status.failures.to_string(),
            or_dash(status.last_error),
        ]);
    }
    Ok(table)
}

/// The summary of one module on this host; if no daemon is running here, on every node.
async fn module_tables(session: &Session, name: &str) -> anyhow::Result<Vec<SummaryTable>> {
    let modules = module::known(session, false).await?;
    anyhow::ensure!(!modules.is_empty(), "no node is running");
    if !modules.iter().any(|module| module.status.name == name) {
        let mut known: Vec<String> = modules.into_iter().map(|module| module.status.name).collect();
        known.sort();
        known.dedup();
        let hint = suggest::hint_or_list(name, known.iter().map(String::as_str));
        anyhow::bail!("there is no module `{name}`{hint}");
    }
    let of_name = modules.into_iter().filter(|module| module.status.name == name);
    let tables = of_name.flat_map(|module| {
        let headed =
            move |table: SummaryTable| SummaryTable { header: format!("{} on {}", table.header, module.node), ..table };
        module.status.summary.into_iter().map(headed)
    });
    Ok(tables.collect())
}
