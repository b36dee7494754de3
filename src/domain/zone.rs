//! Crontab expressions in a time zone, through the changes of the clocks.
//!
//! The rule is that of cron(8) on Debian: an entry for a fixed time that falls into a gap runs once at the
//! first valid instant, one that falls into a fold runs once, in the first pass. Entries with a wildcard in
//! minute or hour follow real time. A jump of three hours or more is a correction of the calendar, and
//! nothing is caught up.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike as _, Utc};
use chrono_tz::Tz;

use super::cron::CronExpr;

/// Jumps at least this long are corrections, not summer time.
const CORRECTION: TimeDelta = TimeDelta::hours(3);
/// How far ahead the next change of the clocks is looked for.
const PROBED_DAYS: usize = 400;

/// The first instant strictly after `after` that matches `expr` on the wall clocks of `zone`.
///
/// Inside a stretch of constant offset wall time runs evenly, so the answer is exact there; the stretches
/// are walked one by one, and each change between them is judged as a gap or a fold.
pub fn next_after(expr: &CronExpr, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut from = after;
    loop {
        let offset = offset_at(zone, from);
        let change = next_change(zone, from);
        let wall = search_from(expr, zone, from, offset, change);
        let found = expr.next_after(wall).map(|wall| Utc.from_utc_datetime(&(wall - offset)));
        let Some(change) = change else { return found };
        if let Some(found) = found.filter(|found| *found < change) {
            return Some(found);
        }
        let (before, behind) = (wall_at(change, offset), wall_at(change, offset_at(zone, change)));
        if owed_at_change(expr, before, behind) {
            return Some(change);
        }
        from = change;
    }
}

/// Whether `expr` runs at the very instant at which the wall clock goes from `before` to `behind`.
fn owed_at_change(expr: &CronExpr, before: NaiveDateTime, behind: NaiveDateTime) -> bool {
    let first_in = |from: NaiveDateTime| expr.next_after(from - TimeDelta::seconds(1));
    let swallowed = !expr.is_wildcard() && behind - before < CORRECTION && behind > before;
    if swallowed && first_in(before).is_some_and(|wall| wall < behind) {
        return true;
    }
    let again = behind < before && !expr.is_wildcard();
    !again && first_in(behind) == Some(behind)
}

/// The wall time to search from: `from` itself, but for a fixed-time entry in the second pass of a fold the fold's end.
fn search_from(
    expr: &CronExpr,
    zone: Tz,
    from: DateTime<Utc>,
    offset: TimeDelta,
    change: Option<DateTime<Utc>>,
) -> NaiveDateTime {
    let wall = wall_at(from, offset);
    if expr.is_wildcard() {
        return wall;
    }
    let is_second_pass = |wall: NaiveDateTime| {
        zone.from_local_datetime(&wall)
            .earliest()
            .is_some_and(|first| first.to_utc() < Utc.from_utc_datetime(&(wall - offset)))
    };
    if !is_second_pass(wall) {
        return wall;
    }
    let limit = change.map_or(wall + TimeDelta::hours(30), |change| wall_at(change, offset));
    let mut end = wall - TimeDelta::seconds(i64::from(wall.second()));
    while end < limit && is_second_pass(end) {
        end += TimeDelta::minutes(1);
    }
    end - TimeDelta::seconds(1)
}

fn offset_at(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
}

fn wall_at(at: DateTime<Utc>, offset: TimeDelta) -> NaiveDateTime {
    at.naive_utc() + offset
}

/// The next instant at which the zone's offset changes. chrono-tz shows no table of them: probed by days, then halved.
fn next_change(zone: Tz, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if zone == Tz::UTC {
        return None;
    }
    let offset = offset_at(zone, from);
    let mut low = from;
    for _ in 0..PROBED_DAYS {
        let mut high = low + TimeDelta::days(1);
        if offset_at(zone, high) == offset {
            low = high;
            continue;
        }
        while high - low > TimeDelta::seconds(1) {
            let middle = low + (high - low) / 2;
            if offset_at(zone, middle) == offset { low = middle } else { high = middle }
        }
        return DateTime::from_timestamp(high.timestamp(), 0);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let expr: CronExpr = expression.parse().expect("an expression");
        let zone: Tz = zone.parse().expect("a zone");
        let mut at: DateTime<Utc> = from.parse().expect("an instant");
        (0..count)
            .map(|_| {
                at = next_after(&expr, zone, at).expect("a next instant");
                at.with_timezone(&zone).format("%m-%d %H:%M %z").to_string()
            })
            .collect()
    }

    #[test]
    fn a_fixed_time_in_a_gap_runs_once_at_its_end() {
        let berlin = |expression, count| runs(expression, "Europe/Berlin", "2026-03-28T12:00:00Z", count);
        assert_eq!(berlin("30 2 * * *", 2), ["03-29 03:00 +0200", "03-30 02:30 +0200"]);
        assert_eq!(berlin("0,30 2 * * *", 2), ["03-29 03:00 +0200", "03-30 02:00 +0200"]);
        assert_eq!(berlin("30 2,3 * * *", 2), ["03-29 03:00 +0200", "03-29 03:30 +0200"]);
        assert_eq!(berlin("0 3 * * *", 2), ["03-29 03:00 +0200", "03-30 03:00 +0200"]);
    }

    #[test]
    fn a_fixed_time_in_a_fold_runs_in_the_first_pass_only() {
        let from_before = runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(from_before, ["10-25 02:30 +0200", "10-26 02:30 +0100"]);
        let from_within = runs("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1);
        assert_eq!(from_within, ["10-26 02:30 +0100"]);
        let at_its_end = runs("0 3 * * *", "Europe/Berlin", "2026-10-25T01:10:30Z", 1);
        assert_eq!(at_its_end, ["10-25 03:00 +0100"]);
    }

    #[test]
    fn wildcards_follow_real_time() {
        let fold = runs("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", 5);
        assert_eq!(
            fold,
            ["10-25 02:00 +0200", "10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100"]
        );
        let gap = runs("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:29:00Z", 3);
        assert_eq!(gap, ["03-29 01:30 +0100", "03-29 03:00 +0200", "03-29 03:30 +0200"]);
    }

    #[test]
    fn odd_zones_hold() {
        assert_eq!(runs("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 1), ["11-04 01:00 -0200"]);
        assert_eq!(runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1), ["10-04 02:30 +1100"]);
        // The day that Samoa skipped is not caught up.
        assert_eq!(runs("0 9 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z", 1), ["12-31 09:00 +1400"]);
    }

    #[test]
    fn a_fixed_time_runs_once_on_each_day_of_ten_years() {
        let expr: CronExpr = "30 2 * * *".parse().expect("an expression");
        let (mut at, end): (DateTime<Utc>, DateTime<Utc>) =
            ("2020-01-01T00:00:00Z".parse().expect("a start"), "2030-01-01T00:00:00Z".parse().expect("an end"));
        let mut days = 0;
        while let Some(next) = next_after(&expr, Tz::Europe__Berlin, at).filter(|next| *next < end) {
            at = next;
            days += 1;
        }
        assert_eq!(days, 3653);
    }
}
