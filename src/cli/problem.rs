//! `sexton problem`: what is wrong, and what an operator says of it.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use sexton_entities::{
    notice,
    problem::Model,
    states::{ProblemKind, ProblemState},
};

use super::{
    output::{Column, Printer, print_line},
    pause::who,
    selection::unknown_word,
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    domain::{
        problem::thing,
        text::{
            duration,
            plural::{counted, times},
        },
    },
    store::{ProblemChange, ProblemFilter},
};

/// Maximum number of problems in a summary.
const MAX_ROWS: u64 = 50;
/// Maximum number of notices that are shown.
const MAX_NOTICES: u64 = 20;

#[derive(Subcommand)]
pub(super) enum ProblemCommand {
    /// List problems, those that last first
    List(ProblemListArgs),
    /// Show a problem
    Show {
        /// The number of the problem
        id: i64,
    },
    /// Take note of a problem: no reminders
    Ack(ChangeArgs),
    /// Silence a problem for a time, also if it comes back
    Mute {
        #[command(flatten)]
        change: ChangeArgs,
        /// For how long, such as 2h
        #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
        time: Duration,
    },
    /// Close a problem: it is over, whatever its next run says
    Close(ChangeArgs),
}

#[derive(Args)]
pub(super) struct ProblemListArgs {
    /// Closed problems as well
    #[arg(long)]
    all: bool,
    /// Only problems of this kind, such as `task`, `schedule`, `overdue` or `node`
    #[arg(long, value_parser = kind)]
    kind: Option<ProblemKind>,
    /// Only problems of the task definition, schedule, queue, node or module of this name
    #[arg(long)]
    name: Option<String>,
    /// Maximum number
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: u64,
}

#[derive(Args)]
pub(super) struct ChangeArgs {
    /// The number of the problem
    id: i64,
    #[command(flatten)]
    reason: ReasonArgs,
}

/// A problem and what was sent about it.
#[derive(Serialize)]
struct ProblemDetail {
    #[serde(flatten)]
    row: Model,
    notice_list: Vec<notice::Model>,
}

/// What a change answers as JSON.
#[derive(Serialize)]
struct Changed {
    id: i64,
    state: &'static str,
}

fn kind(word: &str) -> Result<ProblemKind, String> {
    let all = ProblemKind::ALL.iter().map(|kind| kind.as_str());
    ProblemKind::from_word(word).ok_or_else(|| unknown_word(word, all))
}

pub(super) async fn run(session: &Session, output: Printer, command: ProblemCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        ProblemCommand::List(args) => {
            let ProblemListArgs { all, kind, name, limit } = args;
            let filter = ProblemFilter { with_closed: all, kind, name, limit };
            let problems = open.store.problems(&filter).await.map_err(with_advice)?;
            print(output, &problems)?;
            output.note_limit(problems.len(), filter.limit, "--limit");
            Ok(0)
        }
        ProblemCommand::Show { id } => show(&open, output, id).await,
        ProblemCommand::Ack(args) => change(&open, output, &args, ProblemChange::Acknowledge).await,
        ProblemCommand::Mute { change: args, time } => change(&open, output, &args, ProblemChange::Mute(time)).await,
        ProblemCommand::Close(args) => change(&open, output, &args, ProblemChange::Close).await,
    }
}

/// The problems that last.
pub(super) async fn open(open: &OpenSession) -> anyhow::Result<Vec<Model>> {
    let filter = ProblemFilter { limit: MAX_ROWS, ..ProblemFilter::default() };
    open.store.problems(&filter).await.map_err(with_advice)
}

/// `task import`.
pub(super) fn of(kind: ProblemKind, name: &str) -> String {
    thing(kind, name)
}

/// What happened last, for the reader. What a task has printed stays as it is.
pub(super) fn what(output: Printer, kind: ProblemKind, text: &str) -> String {
    if kind == ProblemKind::Task { text.to_owned() } else { output.sentence(text) }
}

/// Prints problems.
pub(super) fn print(output: Printer, problems: &[Model]) -> anyhow::Result<()> {
    let columns = [
        Column::value("Problem"),
        Column::word("State"),
        Column::name("Of"),
        Column::value("Since"),
        Column::value("Last").leaves(1),
        Column::value("Times").leaves(2),
        Column::prose("What"),
    ];
    output.list(problems, columns, "There are no open problems.", |row| {
        [
            row.id.to_string(),
            row.state.to_string(),
            of(row.kind, &row.name),
            output.time(row.opened_at),
            output.time(row.seen_at),
            row.times.to_string(),
            what(output, row.kind, &row.what),
        ]
    })
}

async fn show(open: &OpenSession, output: Printer, id: i64) -> anyhow::Result<u8> {
    let Some(row) = open.store.problem(id).await.map_err(with_advice)? else {
        anyhow::bail!("there is no problem {id}")
    };
    let notices = open.store.notices(Some(id), MAX_NOTICES).await.map_err(with_advice)?;
    if output.is_json() {
        output.value(&ProblemDetail { row, notice_list: notices })?;
        return Ok(0);
    }
    print_line!("Problem {id}, {}: {}", of(row.kind, &row.name), state(output, &row));
    print_line!("{}", what(output, row.kind, &row.what));
    let last = output.time(row.seen_at);
    print_line!("{} since {}, last at {last}", times(row.times.unsigned_abs()), output.time(row.opened_at));
    let facts = [
        ("ended as", row.outcome.map(|outcome| outcome.to_string())),
        ("exit code", row.exit_code.map(|code| code.to_string())),
        ("tasks discarded", (row.discarded > 0).then(|| row.discarded.to_string())),
        ("queue", row.queue.clone()),
        ("node", row.node.clone()),
        ("next attempt", row.next_at.map(|at| output.time(at))),
        ("episode", (row.episode > 1).then(|| row.episode.to_string())),
        ("notices", (row.notices > 0).then(|| counted(row.notices.unsigned_abs() as usize, "notice"))),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            print_line!("{name}: {value}");
        }
    }
    if let Some(task) = row.task_id {
        print_line!("the last attempt: sexton task show {task}; its output: sexton task log {task}");
    }
    for notice in notices {
        let why = notice.error.map(|error| format!(": {error}")).unwrap_or_default();
        let at = output.time(notice.finished_at.unwrap_or(notice.created_at));
        print_line!("notice ({}) by {}, {at}: {}{why}", notice.about, notice.channel, notice.state);
    }
    Ok(0)
}

/// `muted until 12:00 by alice@shop01: the import is known`.
fn state(output: Printer, row: &Model) -> String {
    let until = match (row.state, row.muted_until) {
        (ProblemState::Muted, Some(until)) => format!(" until {}", output.time(until)),
        (ProblemState::Closed, _) => format!(" at {}", output.time_or_dash(row.closed_at)),
        _ => String::new(),
    };
    if row.state == ProblemState::Open {
        return row.state.to_string();
    }
    let by = who(row.changed_by.as_deref(), row.changed_host.as_deref()).map(|by| format!(" by {by}"));
    let reason = row.change_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}{until}{}{reason}", row.state, by.unwrap_or_default())
}

async fn change(open: &OpenSession, output: Printer, args: &ChangeArgs, change: ProblemChange) -> anyhow::Result<u8> {
    let id = args.id;
    let is_done = open.because(&args.reason).change_problem(id, change).await.map_err(with_advice)?;
    if !is_done {
        match open.store.problem(id).await.map_err(with_advice)? {
            Some(row) => anyhow::bail!("problem {id} is closed, since {}", output.time_or_dash(row.closed_at)),
            None => anyhow::bail!("there is no problem {id}"),
        }
    }
    let (state, sentence) = match change {
        ProblemChange::Acknowledge => ("acknowledged", format!("problem {id} is acknowledged")),
        ProblemChange::Mute(time) => ("muted", format!("problem {id} is muted for {}", duration::text(time))),
        ProblemChange::Close => ("closed", format!("problem {id} is closed")),
    };
    output.report(&sentence, &json!(Changed { id, state }))?;
    Ok(0)
}
