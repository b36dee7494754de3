//! `sexton stats`: how often tasks ran, how many failed, how long they took, by task or by day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;

use super::{
    output::{Column, Printer, or_dash, print_line},
    selection::check_values,
    session::{OpenSession, Session, with_advice},
    time,
};
use crate::{
    domain::{
        statistics::{self, DayAndName, Sums},
        text::{duration, instant::Sense, plural::counted},
    },
    store::{DayFigures, HistoryFilter},
};

/// Maximum number of days in the small bars.
const MAX_BARS: i64 = 30;

#[derive(Args)]
pub(super) struct StatsArgs {
    /// Show each day of this task definition; without a name, one line for each definition
    task: Option<String>,
    /// Only attempts since this time: `7d`, `yesterday`, 2026-12-24. Days are in UTC
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
}

/// Figures of a task definition, or of one of its days.
#[derive(Serialize)]
struct StatsRow {
    task: String,
    /// None for the whole time.
    day: Option<String>,
    runs: i64,
    failed: i64,
    failed_percent: f64,
    median_ms: Option<i64>,
    p95_ms: Option<i64>,
    longest_ms: i64,
    delay_ms: Option<i64>,
    /// Runs that were slow, quick, silent or delayed.
    unusual: i64,
    /// Runs of each day, the oldest first.
    runs_by_day: Vec<i64>,
}

pub(super) async fn run(session: &Session, output: Printer, args: &StatsArgs) -> anyhow::Result<u8> {
    let open = session.open().await?;
    let now = open.store.now().await?;
    let since = time::parse(&args.since, output.zone(), Sense::Past, now)?;
    let name = args.task.as_deref();
    let figures = open.store.daily_figures(since, name).await.map_err(with_advice)?;
    if let Some(name) = name.filter(|_| figures.is_empty()) {
        let filter = HistoryFilter { name: Some(name.to_owned()), ..HistoryFilter::default() };
        check_values(session, &open, &filter).await?;
    }
    let unusual = open.store.unusual_by_day(since, name).await.map_err(with_advice)?;
    match name {
        Some(name) => {
            if !output.is_json() {
                print_usual(&open, name).await?;
            }
            print_days(output, &by_day(figures, &unusual))?;
        }
        None => print_tasks(output, &by_task(&figures, &unusual, since, now))?,
    }
    Ok(0)
}

/// Prints what is usual for a task definition, if that is known.
async fn print_usual(open: &OpenSession, name: &str) -> anyhow::Result<()> {
    let baselines = open.store.baselines(&[name]).await.map_err(with_advice)?;
    let Some(baseline) = baselines.get(name) else { return Ok(()) };
    let bytes = |size: i64| counted(usize::try_from(size).unwrap_or_default(), "byte");
    let usual = [
        ("duration", baseline.duration().map(|usual| (duration::short(usual.median), duration::short(usual.mad)))),
        ("delay", baseline.delay().map(|usual| (duration::short(usual.median), duration::short(usual.mad)))),
        ("output", baseline.output().map(|usual| (bytes(usual.median), bytes(usual.mad)))),
    ];
    for (figure, usual) in usual {
        if let Some((median, mad)) = usual {
            print_line!("usual {figure}: {median} ± {mad}");
        }
    }
    Ok(())
}

fn row(task: String, day: Option<String>, sums: Sums, mut durations: Vec<i64>, runs_by_day: Vec<i64>) -> StatsRow {
    durations.sort_unstable();
    StatsRow {
        unusual: 0,
        task,
        day,
        runs: sums.runs,
        failed: sums.failed,
        failed_percent: (sums.failed_percent() * 10.0).round() / 10.0,
        median_ms: statistics::percentile(&durations, 50),
        p95_ms: statistics::percentile(&durations, 95),
        longest_ms: sums.longest_ms,
        delay_ms: sums.mean_delay_ms(),
        runs_by_day,
    }
}

/// A row for each day, the latest first.
fn by_day(figures: BTreeMap<DayAndName, DayFigures>, unusual: &BTreeMap<DayAndName, i64>) -> Vec<StatsRow> {
    let shown = |(of_day, of): (DayAndName, DayFigures)| {
        let unusual = unusual.get(&of_day).copied().unwrap_or_default();
        let (day, name) = of_day;
        StatsRow { unusual, ..row(name, Some(day), of.sums, of.durations, vec![of.sums.runs]) }
    };
    figures.into_iter().rev().map(shown).collect()
}

/// A row for each task definition, by name.
fn by_task(
    figures: &BTreeMap<DayAndName, DayFigures>,
    unusual: &BTreeMap<DayAndName, i64>,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<StatsRow> {
    let days: Vec<String> = (0..=(now.date_naive() - since.date_naive()).num_days().clamp(0, MAX_BARS - 1))
        .rev()
        .map(|back| statistics::day(now - TimeDelta::days(back)))
        .collect();
    let names: BTreeSet<&str> = figures.keys().map(|(_, name)| name.as_str()).collect();
    let of_task = |name: &str| {
        let own = || figures.iter().filter(|((_, of), _)| of == name);
        let sums = own().fold(Sums::default(), |sum, (_, of)| sum.with(of.sums));
        let durations = own().flat_map(|(_, of)| of.durations.iter().copied()).collect();
        let runs = |day: &String| figures.get(&(day.clone(), name.to_owned())).map_or(0, |of| of.sums.runs);
        let unusual = unusual.iter().filter(|((_, of), _)| of == name).map(|(_, count)| count).sum();
        StatsRow { unusual, ..row(name.to_owned(), None, sums, durations, days.iter().map(runs).collect()) }
    };
    names.into_iter().map(of_task).collect()
}

fn percent(row: &StatsRow) -> String {
    if row.failed == 0 { "-".to_owned() } else { format!("{:.1} %", row.failed_percent) }
}

/// The figures that both tables show.
fn figures(row: &StatsRow) -> [String; 7] {
    [
        row.runs.to_string(),
        percent(row),
        or_dash(row.median_ms.map(duration::short)),
        or_dash(row.p95_ms.map(duration::short)),
        duration::short(row.longest_ms),
        or_dash(row.delay_ms.map(duration::short)),
        or_dash((row.unusual > 0).then_some(row.unusual)),
    ]
}

fn print_tasks(output: Printer, rows: &[StatsRow]) -> anyhow::Result<()> {
    let columns = [
        Column::name("Task"),
        Column::value("Runs"),
        Column::value("Failed"),
        Column::value("Median"),
        Column::value("95 %").leaves(3),
        Column::value("Longest").leaves(2),
        Column::value("Delay").leaves(4),
        Column::value("Unusual").leaves(5),
        Column::value("By day").leaves(1),
    ];
    // In a file, numbers say more than bars.
    let draws = output.is_terminal();
    output.list(rows, columns, "No attempt has ended since then.", |row| {
        let bars = || statistics::sparkline(&row.runs_by_day);
        let numbers = || {
            let since_first = row.runs_by_day.iter().skip_while(|runs| **runs == 0);
            since_first.map(i64::to_string).collect::<Vec<_>>().join(" ")
        };
        let [runs, failed, median, p95, longest, delay, unusual] = figures(row);
        [row.task.clone(), runs, failed, median, p95, longest, delay, unusual, if draws { bars() } else { numbers() }]
    })
}

fn print_days(output: Printer, rows: &[StatsRow]) -> anyhow::Result<()> {
    let columns = [
        Column::value("Day"),
        Column::value("Runs"),
        Column::value("Failed"),
        Column::value("Median"),
        Column::value("95 %").leaves(2),
        Column::value("Longest"),
        Column::value("Delay").leaves(3),
        Column::value("Unusual").leaves(4),
        Column::value("").leaves(1),
    ];
    let most = rows.iter().map(|row| row.runs).max().unwrap_or(0).max(1);
    let draws = output.is_terminal();
    output.list(rows, columns, "No attempt has ended since then.", |row| {
        let bar = || "█".repeat((row.runs * 20 / most).max(1) as usize);
        let [runs, failed, median, p95, longest, delay, unusual] = figures(row);
        [
            or_dash(row.day.clone()),
            runs,
            failed,
            median,
            p95,
            longest,
            delay,
            unusual,
            if draws { bar() } else { String::new() },
        ]
    })
}
