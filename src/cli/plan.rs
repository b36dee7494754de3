//! `sexton plan`.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::{
    output::{Output, or_dash, say},
    session::Session,
    time,
};
use crate::{
    clock::machine_time,
    config::Config,
    domain::plan::{BusyMinute, Difference, Plan, busiest, differences, plan},
};

/// There are differences.
const DIFFERENT: u8 = 2;
/// So many of the busiest minutes are shown.
const BUSIEST: usize = 10;
/// So many schedules of each are named for people.
const NAMED: usize = 8;

#[derive(Args)]
pub(super) struct PlanArgs {
    /// The configuration before the change, with which the one in use (`--config`) is compared
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// For how many days
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,
    /// After this time [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

pub(super) fn run(session: &Session, output: Output, args: &PlanArgs) -> anyhow::Result<u8> {
    let config = session.config()?;
    let old = args.against.as_ref().map(|file| session.config_of(file)).transpose()?;
    let from = args.from.as_deref().map_or(Ok(machine_time()), |from| time::parse(from, config.daemon.timezone))?;
    let to = from.checked_add_signed(TimeDelta::days(i64::from(args.days))).context("`--from` is too late")?;
    let new_plan = plan_of(&config, from, to);
    let old_plan = old.map(|old| plan_of(&old, from, to));
    let found = old_plan.as_ref().map(|old| differences(old, &new_plan));
    let busy = busiest(&new_plan, BUSIEST);
    if output.is_json() {
        let schedules: Vec<Value> = new_plan
            .iter()
            .map(|(name, instants)| json!({ "name": name, "instants": instants.times.len(), "complete_until": instants.cut_at }))
            .collect();
        let changes = found.as_ref().map(|found| {
            found.iter().map(|(name, change)| changed(name, change, old_plan.as_ref(), &new_plan)).collect::<Vec<_>>()
        });
        output
            .value(&json!({ "from": from, "to": to, "schedules": schedules, "changes": changes, "busiest": busy }))?;
    } else {
        say!("From {} to {}:", time::shown(from), time::shown(to));
        match (&found, &old_plan) {
            (Some(found), Some(old)) => differences_table(output, found, old, &new_plan),
            _ => plan_table(output, &new_plan),
        }
        busy_table(output, &busy);
        tell_of_cuts(&new_plan);
    }
    Ok(if found.is_some_and(|found| !found.is_empty()) { DIFFERENT } else { 0 })
}

fn plan_of(config: &Config, from: DateTime<Utc>, to: DateTime<Utc>) -> Plan {
    plan(config.tasks.values().filter_map(|task| task.schedule.as_deref()), from, to)
}

/// What becomes of the schedule itself.
fn state(name: &str, old: &Plan, new: &Plan) -> &'static str {
    match (old.contains_key(name), new.contains_key(name)) {
        (false, _) => "added",
        (_, false) => "removed",
        _ => "changed",
    }
}

/// For programs: every instant that is different.
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

fn plan_table(output: Output, plan: &Plan) {
    let rows: Vec<Vec<String>> = plan
        .iter()
        .map(|(name, instants)| {
            let more = if instants.cut_at.is_some() { "+" } else { "" };
            let first = or_dash(instants.times.first().copied().map(time::shown));
            vec![name.clone(), format!("{}{more}", instants.times.len()), first]
        })
        .collect();
    output.table(&["Schedule", "Instants", "First"].map(str::to_owned), &rows, "There are no schedules.");
}

fn differences_table(output: Output, found: &BTreeMap<String, Difference>, old: &Plan, new: &Plan) {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(name, change)| {
            let moved =
                change.moved.first().map(|(from, to)| format!("{} -> {}", time::shown(*from), time::shown(*to)));
            let first = moved.or_else(|| change.first().map(time::shown));
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
    let columns = ["Schedule", "It is", "Added", "Removed", "Moved", "First"].map(str::to_owned);
    output.table(&columns, &rows, "No instant is different.");
    for (name, change) in found {
        if let Some(until) = change.compared_until {
            say!("{name} comes too often to be compared to the end: nothing behind {} is counted", time::shown(until));
        }
    }
}

fn busy_table(output: Output, busy: &[BusyMinute]) {
    let rows: Vec<Vec<String>> = busy
        .iter()
        .map(|minute| {
            let name = |(name, count): (&String, &usize)| match count {
                1 => name.clone(),
                several => format!("{name} ({several} times)"),
            };
            let mut names: Vec<String> = minute.schedules.iter().take(NAMED).map(name).collect();
            let more = minute.schedules.len() - names.len();
            names.extend((more > 0).then(|| format!("and {more} more")));
            vec![minute.at.format("%Y-%m-%d %H:%MZ").to_string(), minute.count.to_string(), names.join(", ")]
        })
        .collect();
    output.table(&["Busiest minute", "Instants", "Schedules"].map(str::to_owned), &rows, "Nothing comes in this time.");
}

fn tell_of_cuts(plan: &Plan) {
    for (name, instants) in plan {
        if let Some(until) = instants.cut_at {
            let (count, until) = (instants.times.len(), time::shown(until));
            say!("of {name}, the first {count} instants are counted, which is until {until}");
        }
    }
}
