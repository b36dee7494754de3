//! What the rules cost: `cargo bench`. The figures are in `docs/BENCHMARKS.md`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use divan::{Bencher, black_box};
use sexton::domain::{cron::CronExpr, policy::Policy, recurrence::Recurrence, schedule::Schedule};

fn main() {
    divan::main();
}

fn instant() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap_or_default()
}

fn schedules(count: usize, zone: Tz) -> Vec<Schedule> {
    (0..count)
        .filter_map(|number| {
            let expr: CronExpr = format!("{} {} * * *", number % 60, number / 60 % 24).parse().ok()?;
            Some(Schedule {
                name: format!("s{number}"),
                recurrences: vec![Recurrence::Cron { expr, zone }],
                policy: Policy::default(),
            })
        })
        .collect()
}

#[divan::bench]
fn parse_an_expression() -> Option<CronExpr> {
    black_box("*/7 8-18 * JAN-NOV MON-FRI").parse().ok()
}

#[divan::bench(args = ["UTC", "Europe/Berlin"])]
fn next_instant(bencher: Bencher<'_, '_>, zone: &str) {
    let schedule = schedules(1, zone.parse().unwrap_or(Tz::UTC)).remove(0);
    let at = instant();
    bencher.bench_local(|| schedule.next_after(black_box(at)));
}

/// What the cron module does once, at its start.
#[divan::bench(args = [10_000, 100_000], sample_count = 10)]
fn first_instants_of_all(bencher: Bencher<'_, '_>, count: usize) {
    let schedules = schedules(count, Tz::Europe__Berlin);
    let at = instant();
    bencher.bench_local(|| schedules.iter().filter_map(|schedule| schedule.next_after(black_box(at))).count());
}

/// What it does for each schedule that is due, after a minute and after a year of downtime.
#[divan::bench(args = [1, 525_600])]
fn due_after_minutes(bencher: Bencher<'_, '_>, minutes: i64) {
    let recurrences = vec![Recurrence::Every(Duration::from_secs(60))];
    let schedule = Schedule { name: "s".to_owned(), recurrences, policy: Policy::default() };
    let now = instant();
    bencher.bench_local(|| schedule.due(black_box(now - TimeDelta::minutes(minutes)), now));
}
