//! Every change of the clocks in every zone from 1990 to 2037, against an oracle that checks every minute.
//!
//! The oracle follows the text of the rule (docs/CONFIGURATION.md, "Schedules") and shares no code with the implementation:
//! it checks what the wall clock shows in each minute, what it has shown before, and what it skips.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use chrono::{DateTime, Datelike as _, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;
use sexton::domain::{
    cron::CronExpr,
    schedule::zone::{self, Dst},
};

/// An expression, and its meaning in words that need no parser.
struct Case {
    expression: &'static str,
    /// Whether minute or hour has a star.
    is_wildcard: bool,
    seconds: &'static [i64],
    matches: fn(NaiveDateTime) -> bool,
}

const CASES: [Case; 9] = [
    Case {
        expression: "30 2 * * *",
        is_wildcard: false,
        seconds: &[0],
        matches: |wall| wall.hour() == 2 && wall.minute() == 30,
    },
    Case {
        expression: "0,15 0,1,3 * * *",
        is_wildcard: false,
        seconds: &[0],
        matches: |wall| [0, 1, 3].contains(&wall.hour()) && [0, 15].contains(&wall.minute()),
    },
    Case {
        expression: "59 23 * * *",
        is_wildcard: false,
        seconds: &[0],
        matches: |wall| wall.hour() == 23 && wall.minute() == 59,
    },
    Case { expression: "*/20 * * * *", is_wildcard: true, seconds: &[0], matches: |wall| wall.minute() % 20 == 0 },
    Case {
        expression: "45 */2 * * *",
        is_wildcard: true,
        seconds: &[0],
        matches: |wall| wall.hour() % 2 == 0 && wall.minute() == 45,
    },
    Case {
        expression: "0 9 * * *",
        is_wildcard: false,
        seconds: &[0],
        matches: |wall| wall.hour() == 9 && wall.minute() == 0,
    },
    Case {
        expression: "10 0-23 * * 0",
        is_wildcard: false,
        seconds: &[0],
        matches: |wall| wall.minute() == 10 && wall.weekday().num_days_from_sunday() == 0,
    },
    Case {
        expression: "5,40 30 0-4 * * *",
        is_wildcard: false,
        seconds: &[5, 40],
        matches: |wall| wall.hour() <= 4 && wall.minute() == 30,
    },
    Case { expression: "20 */30 * * * *", is_wildcard: true, seconds: &[20], matches: |wall| wall.minute() % 30 == 0 },
];

const RULES: [Dst; 3] = [Dst::Cron, Dst::Skip, Dst::All];
const MINUTE: TimeDelta = TimeDelta::minutes(1);

fn offset(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
}

/// The changes of the offset, each with the length of the jump, found by checking every quarter of an hour.
fn changes(zone: Tz) -> Vec<(DateTime<Utc>, TimeDelta)> {
    let (mut at, end): (DateTime<Utc>, DateTime<Utc>) =
        ("1990-01-01T00:00:00Z".parse().unwrap(), "2038-01-01T00:00:00Z".parse().unwrap());
    let mut changes = Vec::new();
    let mut before = offset(zone, at);
    while at < end {
        let next = at + TimeDelta::hours(6);
        if offset(zone, next) != before {
            let mut change = at;
            while offset(zone, change) == before {
                change += MINUTE;
            }
            changes.push((change, offset(zone, change) - before));
            before = offset(zone, change);
            assert_eq!(offset(zone, next), before, "{zone}: two changes within six hours of {at}");
        }
        at = next;
    }
    changes
}

/// A minute around a change of the clock.
struct Minute {
    at: DateTime<Utc>,
    /// What the wall clock shows.
    wall: NaiveDateTime,
    /// Whether it has shown the same before.
    is_again: bool,
}

/// What the wall clock shows in each minute around a change.
fn clock(zone: Tz, change: DateTime<Utc>, jump: TimeDelta) -> Vec<Minute> {
    let reach = jump.abs() + TimeDelta::hours(3);
    let minutes = (reach.num_minutes() * 2) as i32;
    let mut shown = BTreeSet::new();
    (0..minutes)
        .map(|minute| {
            let at = change - reach + MINUTE * minute;
            let wall = at.naive_utc() + offset(zone, at);
            Minute { at, wall, is_again: !shown.insert(wall) }
        })
        .collect()
}

/// The instants at which a case has to run, by the text of the rule.
fn expected(case: &Case, rule: Dst, clock: &[Minute]) -> BTreeSet<DateTime<Utc>> {
    let mut runs = BTreeSet::new();
    let mut previous: Option<NaiveDateTime> = None;
    for Minute { at, wall, is_again } in clock {
        // The clock has skipped times.
        let mut swallowed = 0;
        let mut is_owed = false;
        let mut missing = previous.map_or(*wall, |previous| previous + MINUTE);
        while missing < *wall {
            is_owed |= (case.matches)(missing);
            swallowed += 1;
            missing += MINUTE;
        }
        let is_caught_up = match rule {
            Dst::Cron => !case.is_wildcard && swallowed < 180,
            Dst::Skip => false,
            Dst::All => true,
        };
        if is_owed && is_caught_up {
            runs.insert(*at);
        }
        let counts_again = match rule {
            Dst::Cron => case.is_wildcard,
            Dst::Skip => false,
            Dst::All => true,
        };
        if (case.matches)(*wall) && (!*is_again || counts_again) {
            runs.extend(case.seconds.iter().map(|second| *at + TimeDelta::seconds(*second)));
        }
        previous = Some(*wall);
    }
    runs
}

/// The implementation's result for the same range.
fn found(expr: &CronExpr, zone: Tz, rule: Dst, from: DateTime<Utc>, end: DateTime<Utc>) -> BTreeSet<DateTime<Utc>> {
    let first = zone::next_after(expr, zone, rule, from - TimeDelta::seconds(1));
    std::iter::successors(first, |at| zone::next_after(expr, zone, rule, *at)).take_while(|at| *at < end).collect()
}

#[test]
fn every_change_in_every_zone_follows_the_rule() {
    let mut distinct: BTreeMap<Vec<(DateTime<Utc>, TimeDelta, TimeDelta)>, Tz> = BTreeMap::new();
    for zone in chrono_tz::TZ_VARIANTS {
        let key = changes(zone).into_iter().map(|(change, jump)| (change, jump, offset(zone, change))).collect();
        distinct.entry(key).or_insert(zone);
    }
    let work: Vec<(Tz, DateTime<Utc>, TimeDelta)> = distinct
        .iter()
        .flat_map(|(changes, zone)| changes.iter().map(|(change, jump, _)| (*zone, *change, *jump)))
        .collect();
    assert!(distinct.len() > 200 && work.len() > 8_000, "{} zones, {} changes", distinct.len(), work.len());

    let expressions: Vec<CronExpr> = CASES.iter().map(|case| case.expression.parse().unwrap()).collect();
    let (next, checked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((zone, change, jump)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let clock = clock(*zone, *change, *jump);
                    let (from, end) = (clock[0].at, clock[clock.len() - 1].at + MINUTE);
                    for (case, expr) in CASES.iter().zip(&expressions) {
                        for rule in RULES {
                            let expected = expected(case, rule, &clock);
                            let found = found(expr, *zone, rule, from, end);
                            assert_eq!(found, expected, "{zone} {change}: `{}` by {rule:?}", case.expression);
                            checked.fetch_add(found.len(), Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let checked = checked.into_inner();
    assert!(checked > 500_000, "only {checked} instants");
    println!("{} zones, {} changes, {checked} instants", distinct.len(), work.len());
}

/// From any second within a fold or beside it, not only from one run to the next.
#[test]
fn the_start_of_the_search_does_not_matter() {
    for (name, day) in [
        ("Europe/Berlin", "2026-10-25"),
        ("Europe/Dublin", "2026-10-25"),
        ("Africa/Casablanca", "2026-02-15"),
        ("Australia/Lord_Howe", "2026-04-04"),
        ("Pacific/Apia", "2011-12-30"),
        ("Antarctica/Casey", "2010-03-04"),
        ("Europe/Berlin", "2026-03-29"),
        ("Australia/Lord_Howe", "2026-10-03"),
    ] {
        let zone: Tz = name.parse().unwrap();
        let day: DateTime<Utc> = format!("{day}T00:00:00Z").parse().unwrap();
        let near = |(at, _): &(DateTime<Utc>, TimeDelta)| (*at - day).abs() < TimeDelta::days(2);
        let (change, jump) = changes(zone).into_iter().find(near).unwrap_or_else(|| panic!("{name} {day}"));
        let clock = clock(zone, change, jump);
        for case in &CASES {
            let expr: CronExpr = case.expression.parse().unwrap();
            for rule in RULES {
                let expected = expected(case, rule, &clock);
                for Minute { at, .. } in &clock {
                    for from in [*at, *at + TimeDelta::milliseconds(20_500), *at + TimeDelta::seconds(59)] {
                        let Some(later) =
                            expected.range((std::ops::Bound::Excluded(from), std::ops::Bound::Unbounded)).next()
                        else {
                            continue;
                        };
                        let found = zone::next_after(&expr, zone, rule, from);
                        assert_eq!(found, Some(*later), "{name} from {from}: `{}` by {rule:?}", case.expression);
                    }
                }
            }
        }
    }
}
