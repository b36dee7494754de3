//! The same expressions in other implementations: another crate for crontabs, and systemd.

use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{
    prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest},
    strategy::ValueTree as _,
    test_runner::TestRunner,
};
use sexton::domain::cron::CronExpr;

/// One field in both languages: of a crontab, and of a systemd calendar expression.
type Field = (String, String);

fn start() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn ours(expression: &str, from: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    let expr: CronExpr = expression.parse().unwrap_or_else(|error| panic!("{expression}: {error}"));
    let next = |at: &DateTime<Utc>| expr.next_after(at.naive_utc()).map(|wall| wall.and_utc());
    std::iter::successors(next(&from), next).take(count).collect()
}

/// `*`, a number, a list, a range or a step. Open steps such as `5/15` are not known everywhere.
fn field(min: u8, max: u8, is_open: bool) -> impl Strategy<Value = Field> {
    let number = min..=max;
    prop_oneof![
        2 => Just(("*".to_owned(), "*".to_owned())),
        2 => number.clone().prop_map(|value| (value.to_string(), value.to_string())),
        2 => prop::collection::btree_set(number.clone(), 1..5).prop_map(|values| {
            let list = values.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
            (list.clone(), list)
        }),
        1 => (number.clone(), number.clone()).prop_map(|(a, b)| {
            let (from, to) = (a.min(b), a.max(b));
            // systemd refuses ranges with a single value.
            (format!("{from}-{to}"), if from == to { from.to_string() } else { format!("{from}..{to}") })
        }),
        1 => (2..=(max / 2)).prop_map(move |step| (format!("*/{step}"), format!("{min}/{step}"))),
        1 => (number, 2..=(max / 2)).prop_map(move |(from, step)| {
            // systemd refuses steps that reach no further value.
            let from = from.min(max - step);
            let ours = if is_open { format!("{from}/{step}") } else { format!("{from}-{max}/{step}") };
            (ours, format!("{from}/{step}"))
        }),
    ]
}

/// A list of weekdays.
fn weekdays() -> impl Strategy<Value = Field> {
    const NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    prop_oneof![
        Just(("*".to_owned(), String::new())),
        (prop::collection::btree_set(0..7usize, 1..5), any::<bool>()).prop_map(|(days, by_name)| {
            let names = days.iter().map(|day| NAMES[*day]).collect::<Vec<_>>().join(",");
            let numbers = days.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            (if by_name { names.clone() } else { numbers }, names)
        }),
    ]
}

proptest! {
    /// Either at most one of the day fields is restricted, or both are, without a star: then all implementations agree on "or".
    #[test]
    fn plain_expressions_are_those_of_croner(
        times in (field(0, 59, false), field(0, 59, false), field(0, 23, false)),
        day in prop_oneof![
            field(1, 28, false).prop_filter("no star", |(text, _)| !text.starts_with('*')).prop_map(|(text, _)| text),
            prop::sample::select(vec!["*", "L", "LW", "1W", "15W", "28W"]).prop_map(str::to_owned),
        ],
        month in field(1, 12, false),
        weekday in prop_oneof![weekdays().prop_map(|(text, _)| text), Just("FRI#2".to_owned()), Just("1L".to_owned())],
        days_after in 0i64..2_000,
    ) {
        let ((second, _), (minute, _), (hour, _)) = times;
        let expression = format!("{second} {minute} {hour} {day} {} {weekday}", month.0);
        let theirs: croner::Cron = expression.parse().unwrap();
        let from = start() + TimeDelta::hours(days_after * 24 + 11);
        let mut at = from;
        for next in ours(&expression, from, 6) {
            at = theirs.find_next_occurrence(&at, false).unwrap();
            prop_assert_eq!(next, at, "{}", expression);
        }
    }
}

#[test]
fn plain_expressions_are_those_of_systemd() {
    let mut runner = TestRunner::deterministic();
    let strategy = (
        field(0, 59, true),
        field(0, 59, true),
        field(0, 23, true),
        field(1, 28, true),
        field(1, 12, true),
        weekdays(),
    );
    let mut expressions = Vec::new();
    for _ in 0..200 {
        let (second, minute, hour, mut day, month, weekday) = strategy.new_tree(&mut runner).unwrap().current();
        // In systemd both day fields must match.
        if weekday.0 != "*" {
            day = ("*".to_owned(), "*".to_owned());
        }
        let ours = format!("{} {} {} {} {} {}", second.0, minute.0, hour.0, day.0, month.0, weekday.0);
        let theirs = format!("{} *-{}-{} {}:{}:{} UTC", weekday.1, month.1, day.1, hour.1, minute.1, second.1);
        expressions.push((ours, theirs.trim_start().to_owned()));
    }
    let output = Command::new("systemd-analyze")
        .args(["calendar", "--iterations=4", "--base-time=2026-01-01 00:00:00 UTC"])
        .args(expressions.iter().map(|(_, theirs)| theirs))
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("systemd-analyze is missing: apt-get install systemd");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<&str> = text.split("Normalized form:").skip(1).collect();
    assert_eq!(answers.len(), expressions.len(), "{text}");
    for ((expression, theirs), answer) in expressions.iter().zip(answers) {
        let found: Vec<DateTime<Utc>> = answer
            .lines()
            .filter(|line| line.contains("elapse:") || line.contains("Iter"))
            .filter_map(|line| line.split_once(": "))
            .map(|(_, at)| {
                chrono::NaiveDateTime::parse_from_str(at.trim(), "%a %Y-%m-%d %H:%M:%S UTC").unwrap().and_utc()
            })
            .collect();
        assert_eq!(found.len(), 4, "{answer}");
        assert_eq!(ours(expression, start(), 4), found, "`{expression}` and `{theirs}`");
    }
}
