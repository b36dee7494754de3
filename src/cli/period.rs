//! `sexton period`: when periods are open. Needs no database.

use chrono::{DateTime, Days, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    exit_code::{FAILED, PERIOD_UNKNOWN},
    lookup,
    output::{Column, Printer, print_error, print_line},
    session::Session,
    time,
};
use crate::{
    clock::machine_time,
    config::Config,
    domain::{
        period::{Period, PeriodStatus, Span},
        text::{instant::Sense, plural::counted},
    },
};

#[derive(Subcommand)]
pub(super) enum PeriodCommand {
    /// List periods, and whether the present time is inside
    List,
    /// Show the definition of a period, and its times in the next days
    Show {
        /// The period's name
        name: String,
        /// Number of days, including today
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=3_660))]
        days: u64,
    },
    /// Check whether a time is inside a period; exit code 0 inside, 1 outside, 2 unknown
    Check {
        /// The period's name
        name: String,
        /// The time, on the clocks of the period: 15:56, `tomorrow 08:00`, 2026-12-24, RFC 3339, or 2h for two hours ago
        /// [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
}

pub(super) fn run(session: &Session, output: Printer, command: &PeriodCommand) -> anyhow::Result<u8> {
    let config = session.config()?;
    match command {
        PeriodCommand::List => list(&config, output),
        PeriodCommand::Show { name, days } => show(lookup::period(&config, name)?, output, *days),
        PeriodCommand::Check { name, at } => {
            match lookup::period(&config, name).and_then(|period| Ok((period, instant(period, at)?))) {
                Ok((period, at)) => check(period, output, at),
                // Scripts must not take the error for `outside`.
                Err(error) => {
                    print_error!("sexton: {error:#}");
                    Ok(PERIOD_UNKNOWN)
                }
            }
        }
    }
}

fn instant(period: &Period, at: &Option<String>) -> anyhow::Result<DateTime<Utc>> {
    at.as_ref().map_or(Ok(machine_time()), |at| time::parse(at, period.zone, Sense::Today, machine_time()))
}

fn word(state: PeriodStatus) -> &'static str {
    if state.inside { "inside" } else { "outside" }
}

fn list(config: &Config, output: Printer) -> anyhow::Result<u8> {
    let now = machine_time();
    let states: Vec<(&Period, PeriodStatus, Vec<String>)> = config
        .periods
        .0
        .values()
        .map(|period| (period.as_ref(), period.status(now), used_by(config, &period.name)))
        .collect();
    if output.is_json() {
        let object = |(period, state, users): &(&Period, PeriodStatus, Vec<String>)| {
            json!({ "name": period.name, "timezone": period.zone.name(), "inside": state.inside,
                    "until": local_rfc3339(period, state.until), "used_by": users })
        };
        output.value(&states.iter().map(object).collect::<Vec<_>>())?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = states
        .iter()
        .map(|(period, state, users)| {
            let until = state.until.map_or("for good".to_owned(), |until| local_text(period, until));
            let users = if users.is_empty() { "-".to_owned() } else { users.join(", ") };
            vec![period.name.clone(), word(*state).to_owned(), until, period.zone.name().to_owned(), users]
        })
        .collect();
    let columns = [
        Column::name("Period"),
        Column::word("Now"),
        Column::value("Until"),
        Column::value("Zone").leaves(1),
        Column::prose("Used by").leaves(2),
    ];
    output.table(&columns, &rows, "There are no periods.");
    Ok(0)
}

/// The queues, schedules and periods that refer to the period.
fn used_by(config: &Config, name: &str) -> Vec<String> {
    let is_it = |period: Option<&String>| period.is_some_and(|period| period == name);
    let queues = config.queues.iter().filter(|(_, queue)| is_it(queue.period.as_ref()));
    let schedules = config.schedules().filter(|schedule| is_it(schedule.period.as_ref()));
    let names = |periods: &[std::sync::Arc<Period>]| periods.iter().any(|other| other.name == name);
    let periods = config.periods.0.values().filter(|period| names(&period.includes) || names(&period.excludes));
    let queues = queues.map(|(queue, _)| format!("queue {queue}"));
    let schedules = schedules.map(|schedule| format!("schedule {}", schedule.name));
    queues.chain(schedules).chain(periods.map(|period| format!("period {}", period.name))).collect()
}

fn show(period: &Period, output: Printer, days: u64) -> anyhow::Result<u8> {
    let now = machine_time();
    let state = period.status(now);
    let spans = period.spans(days_from(period, now, days));
    if output.is_json() {
        let span = |span: &Span| json!({ "start": local_rfc3339(period, Some(span.start)), "end": local_rfc3339(period, Some(span.end)) });
        let ranges = period.rules.iter().map(|rule| (rule.days.text.clone(), rule.shown_times().into()));
        output.value(&json!({
            "name": period.name,
            "timezone": period.zone.name(),
            "inside": state.inside,
            "until": local_rfc3339(period, state.until),
            "ranges": ranges.collect::<serde_json::Map<String, Value>>(),
            "includes": period.includes.iter().map(|other| &other.name).collect::<Vec<_>>(),
            "excludes": period.excludes.iter().map(|other| &other.name).collect::<Vec<_>>(),
            "include_ics": period.include_ics.iter().map(|calendar| &calendar.file).collect::<Vec<_>>(),
            "exclude_ics": period.exclude_ics.iter().map(|calendar| &calendar.file).collect::<Vec<_>>(),
            "precedence": period.precedence,
            "prefer_includes": period.prefer_includes,
            "spans": spans.as_slice().iter().map(span).collect::<Vec<_>>(),
        }))?;
        return Ok(0);
    }
    print_line!("Period {}, time zone {}: {}", period.name, period.zone.name(), sentence(period, &state, "now"));
    for rule in &period.rules {
        let times = rule.shown_times();
        print_line!("  {}: {}", rule.days.text, if times.is_empty() { "never" } else { &times });
    }
    let others = [
        ("includes period", &period.includes, "includes calendar", &period.include_ics),
        ("excludes period", &period.excludes, "excludes calendar", &period.exclude_ics),
    ];
    for (verb, periods, reads, calendars) in others {
        periods.iter().for_each(|other| print_line!("  {verb} {}", other.name));
        calendars.iter().for_each(|calendar| print_line!("  {reads} {}", calendar.file));
    }
    let rows: Vec<Vec<String>> = spans
        .as_slice()
        .iter()
        .map(|span| vec![local_text(period, span.start), local_text(period, span.end)])
        .collect();
    let none = format!("The period has no times in {}.", counted(days, "day"));
    output.table(&["From", "Until"].map(Column::value), &rows, &none);
    Ok(0)
}

/// Whole days on the clocks of the period, from today on.
fn days_from(period: &Period, now: DateTime<Utc>, days: u64) -> Span {
    let today = now.with_timezone(&period.zone).date_naive();
    Span { start: period.begin_of(today), end: period.begin_of(today + Days::new(days)) }
}

fn check(period: &Period, output: Printer, at: DateTime<Utc>) -> anyhow::Result<u8> {
    let state = period.status(at);
    let sentence = sentence(period, &state, &local_text(period, at));
    output.report(
        &format!("period {}: {sentence}", period.name),
        &json!({ "name": period.name, "at": local_rfc3339(period, Some(at)), "inside": state.inside,
                 "until": local_rfc3339(period, state.until) }),
    )?;
    Ok(if state.inside { 0 } else { FAILED })
}

fn sentence(period: &Period, state: &PeriodStatus, at: &str) -> String {
    match state.until {
        Some(until) => format!("{at} is {}, until {}", word(*state), local_text(period, until)),
        None => format!("{at} is {}, for good", word(*state)),
    }
}

/// A time on the clocks of the period.
fn local_text(period: &Period, at: DateTime<Utc>) -> String {
    at.with_timezone(&period.zone).format("%a %Y-%m-%d %H:%M:%S %:z").to_string()
}

fn local_rfc3339(period: &Period, at: Option<DateTime<Utc>>) -> Option<String> {
    at.map(|at| at.with_timezone(&period.zone).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false))
}
