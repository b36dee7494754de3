//! `sexton plan`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    control,
    exit_code::PLANS_DIFFER,
    output::{Column, Printer, or_dash, print_line},
    session::Session,
    time,
};
use crate::{
    clock::machine_time,
    config::Config,
    daemon::PlanInForce,
    domain::{
        schedule::{
            Outside, ScheduleDefinition,
            plan::{BusyMinute, Difference, Instants, Plan, busiest, differences, plan},
        },
        text::{
            instant::Sense,
            plural::{counted, times},
        },
    },
};

/// The value of `--against` for the running daemon.
const RUNNING: &str = "running";
/// Number of the busiest minutes that are shown.
const BUSIEST_MINUTES: usize = 10;
/// Number of schedules that are named for each minute.
const MAX_NAMES: usize = 8;

#[derive(Args)]
pub(super) struct PlanArgs {
    /// Compare the configuration (`--config`) with this one: the file from before the change, or `running` for the
    /// configuration in force in the daemon on this host (`./running` is a file of that name)
    #[arg(long, value_name = "FILE|running")]
    against: Option<PathBuf>,
    /// Number of days
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,
    /// Start of the time range: 15:56, `tomorrow 08:00`, 2026-12-24 or RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

/// The configuration to compare with.
enum Baseline {
    File { file: PathBuf, plan: Plan },
    Running(Box<PlanInForce>),
}

impl Baseline {
    fn plan(&self) -> &Plan {
        match self {
            Self::File { plan, .. } => plan,
            Self::Running(daemon) => &daemon.schedules,
        }
    }

    fn object(&self) -> Value {
        match self {
            Self::File { file, .. } => json!({ "running": false, "file": file }),
            Self::Running(daemon) => {
                let config = &daemon.config;
                json!({ "running": true, "file": config.file, "loaded_at": config.loaded_at, "pid": daemon.pid })
            }
        }
    }

    /// The second part of "compared with …".
    fn description(&self, output: Printer) -> String {
        match self {
            Self::File { file, .. } => file.display().to_string(),
            Self::Running(daemon) => {
                let (file, loaded_at) = (file_name(daemon.config.file.as_ref()), output.time(daemon.config.loaded_at));
                format!("the configuration in force in the daemon (process {}: {file}, read {loaded_at})", daemon.pid)
            }
        }
    }
}

fn file_name(file: Option<&PathBuf>) -> String {
    file.map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string())
}

pub(super) async fn run(session: &Session, output: Printer, args: &PlanArgs) -> anyhow::Result<u8> {
    let config = session.config()?;
    let (schedules, registered) = (session.database_schedules().await, session.registered());
    let config = config.with_database_schedules(&schedules, &registered);
    let now = machine_time();
    let from = args.from.as_deref().map_or(Ok(now), |from| time::parse(from, output.zone(), Sense::Today, now))?;
    let to = from.checked_add_signed(TimeDelta::days(i64::from(args.days))).context("`--from` is too late")?;
    let old = match &args.against {
        Some(file) => Some(old_plan(session, file, &schedules, (from, to)).await?),
        None => None,
    };
    let new_plan = plan_of(&config, from, to);
    let old_plan = old.as_ref().map(Baseline::plan);
    let found = old_plan.map(|old| differences(old, &new_plan));
    let busy = busiest(&new_plan, BUSIEST_MINUTES);
    if output.is_json() {
        let schedules: Vec<Value> = new_plan.iter().map(|(name, instants)| planned(&config, name, instants)).collect();
        let changes = found.as_ref().map(|found| {
            found.iter().map(|(name, change)| changed(name, change, old_plan, &new_plan)).collect::<Vec<_>>()
        });
        let against = old.as_ref().map(Baseline::object);
        output.value(&json!({ "from": from, "to": to, "config": session.file(), "against": against,
                              "schedules": schedules, "changes": changes, "busiest": busy }))?;
    } else {
        let (file, from, to) = (file_name(session.file()), output.time(from), output.time(to));
        match (&found, &old) {
            (Some(found), Some(old)) => {
                print_line!("From {from} to {to}, {file} compared with {}:", old.description(output));
                differences_table(output, found, old.plan(), &new_plan);
            }
            _ => {
                print_line!("From {from} to {to}, by {file}:");
                plan_table(output, &config, &new_plan);
            }
        }
        busy_table(output, &busy);
        print_cuts(output, &new_plan);
    }
    Ok(if found.is_some_and(|found| !found.is_empty()) { PLANS_DIFFER } else { 0 })
}

async fn old_plan(
    session: &Session,
    file: &Path,
    schedules: &[ScheduleDefinition],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> anyhow::Result<Baseline> {
    if file != Path::new(RUNNING) {
        let old = session.config_of(file)?.with_database_schedules(schedules, &session.registered());
        let plan = plan_of(&old, from, to);
        return Ok(Baseline::File { file: file.to_owned(), plan });
    }
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let path = format!("/plan?from={}&to={}", time(from), time(to));
    let answer = control::request(session, Method::GET, &path, None).await;
    Ok(Baseline::Running(answer.context("cannot compare with the running daemon")?))
}

fn plan_of(config: &Config, from: DateTime<Utc>, to: DateTime<Utc>) -> Plan {
    plan(config.schedules_that_fire(), &config.periods, from, to)
}

/// The period of a schedule, and what happens to instants outside it.
fn period<'a>(config: &'a Config, name: &str) -> Option<(&'a str, &'static str)> {
    let schedule = config.scheduled(name)?.schedule;
    let outside = if schedule.outside_period == Outside::Hold { "held" } else { "skipped" };
    Some((schedule.period.as_ref()?, outside))
}

/// The number of instants of a schedule, as JSON.
fn planned(config: &Config, name: &str, instants: &Instants) -> Value {
    let (period, outside) = period(config, name).unzip();
    json!({ "name": name, "instants": instants.times.len(), "complete_until": instants.cut_at,
            "period": period, "outside": outside })
}

/// What happened to the schedule itself.
fn state(name: &str, old: &Plan, new: &Plan) -> &'static str {
    match (old.contains_key(name), new.contains_key(name)) {
        (false, _) => "added",
        (_, false) => "removed",
        _ => "changed",
    }
}

/// Every instant that differs, as JSON.
fn changed(name: &str, change: &Difference, old: Option<&Plan>, new: &Plan) -> Value {
    let moved: Vec<Value> = change.moved.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect();
    json!({
        "name": name,
        "schedule": old.map(|old| state(name, old, new)),
        "added": change.added,
        "removed": change.removed,
        "moved": moved,
        "compared_until": change.compared_until,
    })
}

fn plan_table(output: Printer, config: &Config, plan: &Plan) {
    let rows: Vec<Vec<String>> = plan
        .iter()
        .map(|(name, instants)| {
            let more = if instants.cut_at.is_some() { "+" } else { "" };
            let first = or_dash(instants.times.first().copied().map(|at| output.time(at)));
            let period = period(config, name).map(|(period, outside)| format!("{period}; {outside} outside"));
            vec![name.clone(), format!("{}{more}", instants.times.len()), first, or_dash(period)]
        })
        .collect();
    let columns = [
        Column::name("Schedule"),
        Column::value("Instants"),
        Column::value("First"),
        Column::prose("Period").leaves(1),
    ];
    output.table(&columns, &rows, "There are no schedules.");
}

fn differences_table(output: Printer, found: &BTreeMap<String, Difference>, old: &Plan, new: &Plan) {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(name, change)| {
            let moved =
                change.moved.first().map(|(from, to)| format!("{} -> {}", output.time(*from), output.time(*to)));
            let first = moved.or_else(|| change.first().map(|at| output.time(at)));
            vec![
                name.clone(),
                state(name, old, new).to_owned(),
                change.added.len().to_string(),
                change.removed.len().to_string(),
                change.moved.len().to_string(),
                or_dash(first),
            ]
        })
        .collect();
    let columns = [
        Column::name("Schedule"),
        Column::word("Change"),
        Column::value("Added"),
        Column::value("Removed"),
        Column::value("Moved"),
        Column::prose("First"),
    ];
    output.table(&columns, &rows, "The plans do not differ.");
    for (name, change) in found {
        if let Some(until) = change.compared_until {
            print_line!(
                "{name} has too many instants to compare all of them: instants after {} are not counted",
                output.time(until)
            );
        }
    }
}

fn busy_table(output: Printer, busy: &[BusyMinute]) {
    let rows: Vec<Vec<String>> = busy
        .iter()
        .map(|minute| {
            let name = |(name, count): (&String, &usize)| match count {
                1 => name.clone(),
                several => format!("{name} ({})", times(*several)),
            };
            let mut names: Vec<String> = minute.schedules.iter().take(MAX_NAMES).map(name).collect();
            let more = minute.schedules.len() - names.len();
            names.extend((more > 0).then(|| format!("and {more} more")));
            vec![output.time(minute.at), minute.count.to_string(), names.join(", ")]
        })
        .collect();
    output.table(
        &[Column::value("Busiest minute"), Column::value("Instants"), Column::prose("Schedules")],
        &rows,
        "No schedule runs in this time.",
    );
}

fn print_cuts(output: Printer, plan: &Plan) {
    for (name, instants) in plan {
        if let Some(until) = instants.cut_at {
            let (count, until) = (instants.times.len(), output.time(until));
            print_line!("{name}: only the first {} up to {until} are counted", counted(count, "instant"));
        }
    }
}
