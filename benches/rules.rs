//! The cost of the pure rules: `cargo bench`. The results are in `docs/BENCHMARKS.md`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use divan::{Bencher, black_box};
use sexton::domain::{
    cron::CronExpr,
    schedule::{Schedule, agenda::Agenda, recurrence::Recurrence},
};

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
            Some(Schedule::new(format!("s{number}"), vec![Recurrence::cron(expr, zone)]))
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

/// Forms that saffron does not support: seconds, and days that differ from month to month.
#[divan::bench(args = ["*/10 * * * * *", "0 30 2 L-3 * ? 2030-2040", "0 9 * * FRI#2", "0 0 29 2 */6"])]
fn next_instant_of(bencher: Bencher<'_, '_>, expression: &str) {
    let rule = expression.parse().ok().map(|expr| Recurrence::cron(expr, Tz::Europe__Berlin));
    let at = instant();
    bencher.bench_local(|| rule.as_ref().and_then(|rule| rule.next_after(black_box(at))));
}

/// The start of the cron module.
#[divan::bench(args = [10_000, 100_000], sample_count = 10)]
fn first_instants_of_all(bencher: Bencher<'_, '_>, count: usize) {
    let schedules = schedules(count, Tz::Europe__Berlin);
    let at = instant();
    bencher.bench_local(|| schedules.iter().filter_map(|schedule| schedule.next_after(black_box(at))).count());
}

/// One tick of the cron module: with nothing due, and with the schedules of one minute due.
#[divan::bench(args = [(10_000, 0), (100_000, 0), (100_000, 1)])]
fn tick_among(bencher: Bencher<'_, '_>, (count, minutes): (usize, i64)) {
    let schedules = schedules(count, Tz::Europe__Berlin);
    let at = instant();
    let next = schedules.iter().enumerate().filter_map(|(number, schedule)| Some((number, schedule.next_after(at)?)));
    let agenda: Agenda = next.collect();
    let now = at + TimeDelta::minutes(minutes);
    bencher.with_inputs(|| agenda.clone()).bench_local_refs(|agenda| {
        let mut due = 0;
        while let Some(number) = agenda.take_due(black_box(now)) {
            if let Some(next) = schedules[number].next_after(now) {
                agenda.note(number, next);
            }
            due += schedules[number].due(at, now, None).len();
        }
        due
    });
}

/// A due schedule, after a minute and after a year of downtime.
#[divan::bench(args = [1, 525_600])]
fn due_after_minutes(bencher: Bencher<'_, '_>, minutes: i64) {
    let schedule = Schedule::new("s", vec![Recurrence::Every(Duration::from_secs(60))]);
    let now = instant();
    bencher.bench_local(|| schedule.due(black_box(now - TimeDelta::minutes(minutes)), now, None));
}
