//! `sexton schedule`.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;
use sexton_entities::{
    json_text::JsonText,
    schedule,
    states::{AuditAction, AuditTarget},
};

use super::{
    expected::ExpectedSchedules,
    lookup,
    next::{self, NextArgs, ScheduleChoice},
    output::{Column, Printer, or_dash, print_line},
    pause,
    schedule_edit::{self, AddScheduleArgs, EditScheduleArgs, ImportSchedulesArgs},
    session::{OpenSession, ReasonArgs, Session, with_advice},
    why,
};
use crate::{
    config::{Config, Unused},
    domain::{
        schedule::{PeriodPlace, Schedule, why::InstantRecord},
        task::NewTask,
        text::duration,
    },
    store::{Deed, Enqueued, PauseDetails, SchedulePicture, TaskFilter, Wakeup},
};

#[derive(Subcommand)]
pub(super) enum ScheduleCommand {
    /// List schedules and the outcomes of their latest runs
    List,
    /// Show a schedule and its latest instants
    Show {
        /// The schedule's name
        name: String,
        /// Maximum number of instants to show, the latest first
        #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=100_000))]
        limit: u64,
    },
    /// Show the next instants of a schedule; one of a file needs no database
    Next {
        #[command(flatten)]
        which: ScheduleChoice,
        #[command(flatten)]
        args: NextArgs,
    },
    /// Describe in a sentence when a schedule runs; one of a file needs no database
    Describe {
        #[command(flatten)]
        which: ScheduleChoice,
    },
    /// Add a schedule to the database; in force on all nodes within seconds
    Add(Box<AddScheduleArgs>),
    /// Change a schedule in the database; settings that are not named stay
    Edit(Box<EditScheduleArgs>),
    /// Remove a schedule from the database
    Remove {
        /// The schedule's name
        name: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Print schedules of the database as TOML, for a configuration file or for `schedule import`
    Export {
        /// Names of schedules [default: all]
        #[arg(value_name = "NAME")]
        schedules: Vec<String>,
    },
    /// Add and change schedules in the database as a TOML file has them: all of them, or none
    Import(ImportSchedulesArgs),
    /// Explain why a schedule ran, or did not run, at a time
    Why {
        /// The schedule's name
        name: String,
        /// The due time: 15:56, `yesterday 22:00`, 2026-12-24, RFC 3339, or 2h for the latest one two hours ago [default:
        /// the latest one]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Pause a schedule: its instants are recorded as skipped
    Pause {
        /// The schedule's name
        name: String,
        /// For how long, such as 2h: it is resumed by itself [default: until it is resumed]
        #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
        time: Option<Duration>,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Resume a paused schedule
    Resume {
        /// The schedule's name
        name: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
    /// Enqueue a schedule's task now, independently of its times and of `overlap`
    Run {
        /// The schedule's name
        name: String,
        #[command(flatten)]
        reason: ReasonArgs,
    },
}

pub(super) async fn run(session: &Session, output: Printer, command: ScheduleCommand) -> anyhow::Result<u8> {
    match &command {
        ScheduleCommand::Next { which, args } => return next::next(session, output, which, args).await,
        ScheduleCommand::Describe { which } => return next::describe(session, output, which).await,
        _ => {}
    }
    let open = session.open().await?;
    match command {
        ScheduleCommand::List => list(&open, output).await,
        ScheduleCommand::Show { name, limit } => show(&open, output, &name, limit).await,
        ScheduleCommand::Why { name, at } => why::run(&open, output, &name, at.as_deref()).await,
        ScheduleCommand::Pause { name, time, reason } => {
            let store = open.because(&reason);
            let found = match time {
                Some(time) => store.pause_schedule_for(&name, time).await,
                None => store.pause_schedule(&name, true).await,
            };
            report_pause(&open, output, &name, true, found.map_err(with_advice)?).await
        }
        ScheduleCommand::Resume { name, reason } => {
            let found = open.because(&reason).pause_schedule(&name, false).await.map_err(with_advice)?;
            report_pause(&open, output, &name, false, found).await
        }
        ScheduleCommand::Run { name, reason } => run_now(&open, output, &name, &reason).await,
        ScheduleCommand::Add(args) => schedule_edit::add(&open, output, &args).await,
        ScheduleCommand::Edit(args) => schedule_edit::edit(&open, output, &args).await,
        ScheduleCommand::Remove { name, reason } => schedule_edit::remove(&open, output, &name, &reason).await,
        ScheduleCommand::Export { schedules } => schedule_edit::export(&open, output, &schedules).await,
        ScheduleCommand::Import(args) => schedule_edit::import(&open, output, &args).await,
        ScheduleCommand::Next { .. } | ScheduleCommand::Describe { .. } => Ok(0),
    }
}

/// A schedule as JSON: its row and its latest outcome.
pub(super) fn object(picture: &SchedulePicture) -> serde_json::Value {
    let mut object = json!(picture.schedule);
    let last = picture.last.as_ref();
    object["last_outcome"] = json!(last.map(|run| run.outcome));
    object["last_started_at"] = json!(last.and_then(|run| run.started_at));
    object["last_finished_at"] = json!(last.map(|run| run.finished_at));
    object["last_duration_ms"] = json!(last.and_then(|run| run.duration_ms));
    object
}

async fn list(open: &OpenSession, output: Printer) -> anyhow::Result<u8> {
    let pictures = open.store.schedule_pictures().await.map_err(with_advice)?;
    let expected = ExpectedSchedules::load(open).await?;
    if output.is_json() {
        let objects = pictures.iter().map(|picture| expected.complete(object(picture), &picture.schedule.name));
        output.value(&objects.collect::<Vec<_>>())?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = pictures
        .iter()
        .map(|picture| {
            let schedule = &picture.schedule;
            vec![
                schedule.name.clone(),
                recurs(schedule),
                state(open, output, &expected, schedule),
                or_dash(picture.last.as_ref().map(|run| run.outcome)),
                or_dash(
                    schedule
                        .next_at
                        .map(|at| format!("{}{}", output.time(at), place(&open.config, &schedule.name, at))),
                ),
            ]
        })
        .collect();
    let columns = [
        Column::name("Schedule"),
        Column::prose("Recurs").leaves(1),
        Column::prose("State"),
        Column::word("Last outcome"),
        Column::prose("Next"),
    ];
    output.table(&columns, &rows, "There are no schedules.");
    Ok(0)
}

/// Whether a schedule is in force, paused or overdue.
fn state(open: &OpenSession, output: Printer, expected: &ExpectedSchedules, schedule: &schedule::Model) -> String {
    let paused = pause::state(output, schedule.paused, &PauseDetails::from(schedule));
    let overdue = expected.overdue(output, &schedule.name);
    match open.config.unused_schedules.get(&schedule.name) {
        Some(unused) if unused.cause == Unused::Shadowed => {
            format!("{paused}{overdue}; the one in the database is not in force: a configuration file has this name")
        }
        Some(unused) => format!("not in force: {}", unused.why),
        None => format!("{paused}{overdue}"),
    }
}

/// When a schedule recurs; as it is written, if no node has read it yet.
fn recurs(schedule: &schedule::Model) -> String {
    let written = || schedule.cron.clone().or_else(|| schedule.settings.clone()).unwrap_or_default();
    if schedule.spec.is_empty() { written() } else { schedule.spec.clone() }
}

/// Why the definition of a schedule in the database is not in force, by this configuration.
fn unused(config: &Config, name: &str) -> Option<String> {
    config.unused_schedules.get(name).map(|unused| unused.why.clone())
}

/// What the period of a schedule does to an instant, by this configuration.
pub(super) fn place(config: &Config, name: &str, at: DateTime<Utc>) -> String {
    let schedule = config.scheduled(name).map(|task| task.schedule);
    let Some((schedule, name)) = schedule.and_then(|schedule| Some((schedule, schedule.period.as_ref()?))) else {
        return String::new();
    };
    match schedule.place(at, config.periods.get(name).map(|period| &**period)) {
        PeriodPlace::Inside => String::new(),
        PeriodPlace::Skipped => format!(" (skipped: outside period {name})"),
        PeriodPlace::Held(_) | PeriodPlace::Coalesced(_) => format!(" (held: outside period {name})"),
    }
}

async fn show(open: &OpenSession, output: Printer, name: &str, limit: u64) -> anyhow::Result<u8> {
    let pictures = open.store.schedule_pictures().await.map_err(with_advice)?;
    let picture = pictures.iter().find(|picture| picture.schedule.name == name);
    let picture = picture.with_context(|| {
        lookup::unknown_schedule(name, pictures.iter().map(|picture| picture.schedule.name.as_str()))
    })?;
    let background = why::background(open, name).await?;
    let accounts = why::latest(open, &background, None, limit).await?;
    // Only another node's configuration may define it.
    let description = background.schedule.map(Schedule::describe);
    let expected = ExpectedSchedules::load(open).await?;
    if output.is_json() {
        let mut shown = expected.complete(object(picture), name);
        shown["occurrences"] = json!(accounts);
        shown["description"] = json!(description);
        shown["period"] = json!(background.schedule.and_then(|schedule| schedule.period.as_ref()));
        output.value(&shown)?;
        return Ok(0);
    }
    let schedule = &picture.schedule;
    print_line!("Schedule {name} ({}), task {}: {}", schedule.origin, schedule.task, recurs(schedule));
    if let Some(why) = unused(&open.config, name) {
        print_line!("The definition in the database is not in force: {why}");
    }
    if let Some(description) = description {
        print_line!("{description}");
    }
    let next = schedule.next_at.map(|at| {
        let account = background.account(at, Some(true), &InstantRecord::default());
        let place = if at > background.now { format!(" ({})", output.sentence(&account.words)) } else { String::new() };
        format!("{}{place}", output.time(at))
    });
    print_line!("{}; next {}", pause::state(output, schedule.paused, &PauseDetails::from(schedule)), or_dash(next));
    for sentence in [expected.fault(output, name), expected.sentence(output, name)].into_iter().flatten() {
        print_line!("{sentence}");
    }
    why::list(output, &accounts)?;
    Ok(0)
}

/// Reports a pause or its end; an error if no schedule of that name was found.
async fn report_pause(
    open: &OpenSession,
    output: Printer,
    name: &str,
    paused: bool,
    found: bool,
) -> anyhow::Result<u8> {
    if !found {
        let known = open.store.schedules().await?;
        anyhow::bail!(lookup::unknown_schedule(name, known.iter().map(|schedule| schedule.name.as_str())));
    }
    let details = match open.store.schedule(name).await.map_err(with_advice)? {
        Some(schedule) if paused => PauseDetails::from(&schedule),
        _ => PauseDetails::default(),
    };
    pause::report(output, &format!("schedule {name}"), paused, &details, &json!({ "name": name }))
}

async fn run_now(open: &OpenSession, output: Printer, name: &str, reason: &ReasonArgs) -> anyhow::Result<u8> {
    lookup::schedule(&open.config, name)?;
    let definition = open.config.scheduled(name).context("the schedule has no task")?.definition;
    open.check_definition(&definition.name)?;
    let is_table = open.config.schedule_tables.contains_key(name);
    let task = NewTask {
        payload: definition.payload.clone().map(JsonText::from),
        queue: is_table.then(|| definition.queue.clone()),
        priority: is_table.then_some(definition.priority),
        expires: definition.expires.filter(|_| is_table),
        max_attempts: is_table.then_some(definition.max_attempts),
        ..NewTask::new(&definition.name)
    };
    let deed = Deed::new(AuditAction::Enqueue, AuditTarget::Schedule, name);
    let enqueued = open.enqueue(task, &deed, reason).await?;
    open.client.wake_up_now(Wakeup::Now).await?;
    let (Enqueued::New(id) | Enqueued::AlreadyThere(id)) = enqueued;
    let filter = TaskFilter { name: Some(definition.name.clone()), limit: 2, ..TaskFilter::default() };
    let unfinished = open.store.tasks(&filter).await.map_err(with_advice)?;
    let beside = unfinished.iter().find(|task| task.id != id).map_or_else(String::new, |other| {
        format!(", beside task {}, which is {}: `overlap` counts the runs at its times only", other.id, other.state)
    });
    output.report(&format!("task {id} is enqueued{beside}"), &json!({ "id": id, "new": true }))?;
    Ok(0)
}
