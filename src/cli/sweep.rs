//! `sexton sweep`: what becomes tasks, and a look at it without making any.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use sexton_entities::{
    history,
    json_text::JsonText,
    states::{AuditAction, AuditTarget},
};

use super::{
    output::{Column, Printer, or_dash, print_line},
    session::{OpenSession, ReasonArgs, Session, with_advice},
};
use crate::{
    domain::{
        sweep::{RowFault, SweepRound, SweepSpec, check_size},
        task::{NewTask, definition::TaskDefinition},
        text::{plural::counted, redact, suggest},
    },
    handler::application,
    store::{
        Deed, Enqueued, HistoryFilter, SweepRules, Wakeup,
        application::{ApplicationQuery, select},
    },
};

#[derive(Subcommand)]
pub(super) enum SweepCommand {
    /// List the sweeps of the configuration, and what their latest rounds found
    List,
    /// Show a sweep, and its latest rounds
    Show {
        /// The sweep's name
        name: String,
        /// Maximum number of rounds to show, the latest first
        #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=100_000))]
        limit: u64,
    },
    /// Enqueue a round now, or show which tasks it would enqueue
    Run(RunSweepArgs),
}

#[derive(Args)]
pub(super) struct RunSweepArgs {
    /// The sweep's name
    name: String,
    /// Enqueue nothing: read the rows, and show what would become of them
    #[arg(long)]
    dry_run: bool,
    /// The payload of the round, from which its placeholders are filled
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Maximum number of rows that a dry run shows
    #[arg(short = 'n', long, default_value_t = 50, requires = "dry_run")]
    limit: usize,
    #[command(flatten)]
    reason: ReasonArgs,
}

/// A sweep and its latest round.
#[derive(Serialize)]
struct ShownSweep {
    name: String,
    task: String,
    key: String,
    select: String,
    limit: usize,
    batch: Option<usize>,
    database: Option<String>,
    on_event: Vec<String>,
    enabled: bool,
    rounds: Vec<ShownRound>,
}

/// What a round did.
#[derive(Serialize)]
struct ShownRound {
    task_id: Option<i64>,
    started_at: Option<chrono::DateTime<chrono::Utc>>,
    finished_at: chrono::DateTime<chrono::Utc>,
    outcome: String,
    error: Option<String>,
    result: Option<JsonText>,
}

/// What a dry run found.
#[derive(Serialize)]
struct DryRun {
    found: usize,
    would_enqueue: usize,
    tasks: usize,
    already_there: usize,
    refused: usize,
    left_over: bool,
    rows: Vec<DryRow>,
    faults: Vec<RowFault>,
}

/// What would become of a row.
#[derive(Serialize)]
struct DryRow {
    key: String,
    already_there: bool,
    payload: JsonText,
}

pub(super) async fn run(session: &Session, output: Printer, command: SweepCommand) -> anyhow::Result<u8> {
    let open = session.open().await?;
    match command {
        SweepCommand::List => list(&open, output).await,
        SweepCommand::Show { name, limit } => show(&open, output, &name, limit).await,
        SweepCommand::Run(args) if args.dry_run => dry_run(&open, output, &args).await,
        SweepCommand::Run(args) => enqueue(&open, output, &args).await,
    }
}

/// The sweep of that name.
fn find<'a>(open: &'a OpenSession, name: &str) -> anyhow::Result<(&'a TaskDefinition, &'a SweepSpec)> {
    let sweeps = || open.config.tasks.values().filter(|task| task.sweep.is_some());
    let found = sweeps().find(|task| task.name == name).and_then(|task| Some((&**task, task.sweep.as_deref()?)));
    let names = sweeps().map(|task| task.name.as_str());
    found.with_context(|| format!("there is no sweep `{name}`{}", suggest::hint_or_list(name, names)))
}

async fn shown(open: &OpenSession, task: &TaskDefinition, sweep: &SweepSpec, limit: u64) -> anyhow::Result<ShownSweep> {
    let filter = HistoryFilter { name: Some(task.name.clone()), limit, ..HistoryFilter::default() };
    let rounds = open.store.history(&filter).await.map_err(with_advice)?;
    let on = open.config.triggers.get(&task.name).map(|trigger| trigger.on.iter().map(ToString::to_string).collect());
    Ok(ShownSweep {
        name: task.name.clone(),
        task: sweep.task.clone(),
        key: sweep.key.clone(),
        select: sweep.select.written().to_owned(),
        limit: sweep.limit,
        batch: sweep.batch,
        database: sweep.url.as_ref().map(|url| redact::redacted(&url.0)),
        on_event: on.unwrap_or_default(),
        enabled: task.disabled.is_none(),
        rounds: rounds.into_iter().map(ShownRound::from).collect(),
    })
}

impl From<history::Model> for ShownRound {
    fn from(row: history::Model) -> Self {
        Self {
            task_id: row.task_id,
            started_at: row.started_at,
            finished_at: row.finished_at,
            outcome: row.outcome.to_string(),
            error: row.error,
            result: row.result,
        }
    }
}

impl ShownRound {
    /// A number of the result.
    fn number(&self, field: &str) -> String {
        or_dash(self.result.as_ref().and_then(|result| result.decode::<Value>().ok()?.get(field)?.as_u64()))
    }

    fn left_over(&self) -> String {
        let result = self.result.as_ref().and_then(|result| result.decode::<Value>().ok());
        let left = result.and_then(|result| result.get("left_over")?.as_bool());
        or_dash(left.map(|left| if left { "yes" } else { "no" }))
    }
}

async fn list(open: &OpenSession, output: Printer) -> anyhow::Result<u8> {
    let mut sweeps = Vec::new();
    for task in open.config.tasks.values() {
        if let Some(sweep) = &task.sweep {
            sweeps.push(shown(open, task, sweep, 1).await?);
        }
    }
    let columns = [
        Column::name("Sweep"),
        Column::name("Task"),
        Column::value("Last round").leaves(1),
        Column::word("Outcome"),
        Column::value("Found"),
        Column::value("Enqueued"),
        Column::value("There"),
        Column::value("Refused"),
        Column::word("Left over"),
    ];
    output.list(&sweeps, columns, "There are no sweeps.", |sweep| {
        let last = sweep.rounds.first();
        let number = |field: &str| last.map_or_else(|| "-".to_owned(), |round| round.number(field));
        [
            sweep.name.clone(),
            sweep.task.clone(),
            output.time_or_dash(last.map(|round| round.finished_at)),
            or_dash(last.map(|round| round.outcome.clone())),
            number("found"),
            number("enqueued"),
            number("already_there"),
            number("refused"),
            last.map_or_else(|| "-".to_owned(), ShownRound::left_over),
        ]
    })?;
    Ok(0)
}

async fn show(open: &OpenSession, output: Printer, name: &str, limit: u64) -> anyhow::Result<u8> {
    let (task, sweep) = find(open, name)?;
    let shown = shown(open, task, sweep, limit).await?;
    if output.is_json() {
        output.value(&shown)?;
        return Ok(0);
    }
    let rows = sweep.batch.map_or_else(|| "each row".to_owned(), |rows| format!("up to {}", counted(rows, "row")));
    print_line!("Sweep {name}: a task {} of {rows}, key {}", sweep.task, sweep.key);
    print_line!("{}", sweep.select.written().split_whitespace().collect::<Vec<_>>().join(" "));
    let place = shown.database.clone().unwrap_or_else(|| "the daemon's database".to_owned());
    print_line!("in {place}, at most {} in a round", counted(sweep.limit, "row"));
    if let Some(schedule) = &task.schedule {
        print_line!("{}", schedule.describe());
    }
    if !shown.on_event.is_empty() {
        print_line!("on events {}", shown.on_event.join(", "));
    }
    if !shown.enabled {
        print_line!("disabled");
    }
    let columns = [
        Column::value("Task"),
        Column::value("Finished"),
        Column::word("Outcome"),
        Column::value("Found"),
        Column::value("Enqueued"),
        Column::value("There"),
        Column::value("Refused"),
        Column::word("Left over"),
        Column::prose("Error"),
    ];
    output.list(&shown.rounds, columns, "There was no round yet.", |round| {
        [
            or_dash(round.task_id),
            output.time(round.finished_at),
            round.outcome.clone(),
            round.number("found"),
            round.number("enqueued"),
            round.number("already_there"),
            round.number("refused"),
            round.left_over(),
            or_dash(round.error.clone()),
        ]
    })?;
    output.note_limit(shown.rounds.len(), limit, "--limit");
    Ok(0)
}

fn payload(args: &RunSweepArgs) -> anyhow::Result<Option<JsonText>> {
    let parse = |text: &String| text.parse().with_context(|| format!("the payload is not JSON: {text}"));
    args.payload.as_ref().map(parse).transpose()
}

async fn enqueue(open: &OpenSession, output: Printer, args: &RunSweepArgs) -> anyhow::Result<u8> {
    let (task, _) = find(open, &args.name)?;
    let new = NewTask { payload: payload(args)?, ..NewTask::new(&task.name) };
    let deed = Deed::new(AuditAction::Enqueue, AuditTarget::Task, args.name.as_str());
    let (Enqueued::New(id) | Enqueued::AlreadyThere(id)) = open.enqueue(new, &deed, &args.reason).await?;
    open.client.wake_up_now(Wakeup::Now).await?;
    output
        .report(&format!("task {id} is enqueued: a round of sweep {}", args.name), &json!({ "id": id, "new": true }))?;
    Ok(0)
}

async fn dry_run(open: &OpenSession, output: Printer, args: &RunSweepArgs) -> anyhow::Result<u8> {
    let (task, sweep) = find(open, &args.name)?;
    let values = sweep.bind.values(&args.name, payload(args)?.as_ref()).map_err(anyhow::Error::msg)?;
    let timeout = task.timeout.unwrap_or_else(|| std::time::Duration::from_secs(3_600));
    let query =
        ApplicationQuery { select: &sweep.select, values: &values, key: &sweep.key, limit: sweep.limit, timeout };
    let database = application(sweep.url.as_ref(), &open.connect);
    let reading = select(&database, &query);
    let selected = tokio::time::timeout(timeout, reading).await;
    let selected = selected.with_context(|| format!("no answer within the time limit of sweep {}", args.name))??;
    let fits = |task: &NewTask| {
        check_size(task, open.store.max_payload())?;
        open.client.checked(task.clone()).map(|_| ()).map_err(|error| error.to_string())
    };
    let rules = SweepRules { name: &args.name, spec: sweep, fill: &|task| open.client.filled_in(task), fits: &fits };
    let round = sweep.round(&args.name, selected.rows, selected.has_more, fits);
    let there = open.store.rows_there(&rules, &round.rows).await.map_err(with_advice)?;
    report_dry_run(output, args, sweep, round, &there, &fits)
}

fn report_dry_run(
    output: Printer,
    args: &RunSweepArgs,
    sweep: &SweepSpec,
    mut round: SweepRound,
    there: &[String],
    fits: &impl Fn(&NewTask) -> Result<(), String>,
) -> anyhow::Result<u8> {
    let fresh: Vec<_> = round.rows.iter().filter(|row| !there.contains(&row.key)).cloned().collect();
    let tasks = sweep.tasks(&args.name, &fresh, fits).len();
    let (known, refused) = (round.rows.len() - fresh.len() + round.repeated, round.faults.len());
    round.rows.truncate(args.limit);
    round.faults.truncate(args.limit);
    let rows = round.rows.into_iter().map(|row| DryRow {
        already_there: there.contains(&row.key),
        key: row.key,
        payload: row.payload,
    });
    let found = DryRun {
        found: round.found,
        would_enqueue: fresh.len(),
        tasks,
        already_there: known,
        refused,
        left_over: round.has_more,
        rows: rows.collect(),
        faults: round.faults,
    };
    if output.is_json() {
        output.value(&found)?;
        return Ok(0);
    }
    let columns = [Column::name("Key"), Column::word("Task"), Column::prose("Payload")];
    output.list(&found.rows, columns, "The SELECT finds no row of which a task can be made.", |row| {
        let what = if row.already_there { "there already" } else { "new" };
        [row.key.clone(), what.to_owned(), row.payload.to_string()]
    })?;
    output.note_limit(found.rows.len(), args.limit as u64, "--limit");
    for fault in &found.faults {
        print_line!("no task can be made of {fault}");
    }
    let more = if found.left_over { ", and more that this round does not take" } else { "" };
    print_line!(
        "{} found{more}: {} would be enqueued, {} there already, {} refused. Nothing was enqueued.",
        counted(found.found, "row"),
        counted(found.tasks, "task"),
        found.already_there,
        found.refused
    );
    Ok(0)
}
