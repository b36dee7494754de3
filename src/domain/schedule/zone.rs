//! Crontab expressions in a time zone, across clock changes.
//!
//! The default is the rule of cron(8) on Debian. An entry for a fixed time inside a gap runs once, at the first valid
//! instant; inside a fold it runs once, in the first pass. An entry with a wildcard in minute or hour follows real time.
//! A gap of three hours or more is a correction of the calendar, and no time in it is made up for.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::domain::{cron::CronExpr, text::suggest};

/// A gap of at least this length is a correction of the calendar, not summer time.
const CORRECTION: TimeDelta = TimeDelta::hours(3);

/// What happens to wall-clock times that a clock change skips (a gap) or repeats (a fold).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dst {
    /// The rule of cron(8) on Debian: a fixed time runs once, a wildcard follows real time.
    #[default]
    Cron,
    /// A time in a gap is skipped; a time in a fold runs in the first pass only.
    Skip,
    /// Times in a gap run once, at the first valid instant; a time in a fold runs in both passes.
    All,
}

impl Dst {
    /// The words of the setting `dst`, each with its meaning.
    pub const WORDS: [(&'static str, Self); 3] = [("cron", Self::Cron), ("skip", Self::Skip), ("all", Self::All)];

    /// The word of the setting `dst`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cron => "cron",
            Self::Skip => "skip",
            Self::All => "all",
        }
    }

    /// Whether times run in the second pass of a fold.
    fn repeats(self, expr: &CronExpr) -> bool {
        match self {
            Self::Cron => expr.is_wildcard(),
            Self::Skip => false,
            Self::All => true,
        }
    }

    /// Whether times in a gap of this length run at its end.
    fn catches_up(self, expr: &CronExpr, gap: TimeDelta) -> bool {
        match self {
            Self::Cron => !expr.is_wildcard() && gap < CORRECTION,
            Self::Skip => false,
            Self::All => true,
        }
    }
}

/// The first instant strictly after `after` that matches `expr` on the wall clocks of `zone`.
///
/// Wall time runs evenly while the offset is constant, so the answer is exact within such a stretch. The function walks
/// from stretch to stretch and treats each change between them as a gap or a fold. `None` if there is no next instant.
pub fn next_after(expr: &CronExpr, zone: Tz, dst: Dst, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut from = after;
    loop {
        let offset = offset_at(zone, from);
        let wall = if dst.repeats(expr) { wall_at(from, offset)? } else { first_pass(zone, from, offset)? };
        let found = expr.next_after(wall).and_then(|wall| wall.checked_sub_signed(offset)).map(|wall| wall.and_utc());
        // A clock change after the last match may repeat it.
        let until = found.or_else(|| from.checked_add_signed(TimeDelta::days(1)))?;
        let Some(change) = next_change(zone, from, until) else { return found };
        let (before, behind) = (wall_at(change, offset)?, wall_at(change, offset_at(zone, change))?);
        if owed_at_change(expr, dst, before, behind) {
            return Some(change);
        }
        from = change;
    }
}

/// Whether `expr` runs at the instant of a clock change from `before` to `behind`.
fn owed_at_change(expr: &CronExpr, dst: Dst, before: NaiveDateTime, behind: NaiveDateTime) -> bool {
    let first_in = |from: NaiveDateTime| expr.next_after(from - TimeDelta::seconds(1));
    if behind < before {
        return dst.repeats(expr) && first_in(behind) == Some(behind);
    }
    let from = if dst.catches_up(expr, behind - before) { before } else { behind };
    first_in(from).is_some_and(|wall| wall <= behind)
}

/// The wall time to search from if a fold counts once: `from` itself, or the end of the fold inside its second pass.
fn first_pass(zone: Tz, from: DateTime<Utc>, offset: TimeDelta) -> Option<NaiveDateTime> {
    let wall = wall_at(from, offset)?;
    let earlier = zone.from_local_datetime(&wall).earliest().map(|first| first.to_utc()).filter(|first| *first < from);
    let change = earlier.and_then(|earlier| next_change(zone, earlier, from));
    match change {
        // The times up to the moment at which the clock was set back are done.
        Some(change) => wall_at(change, offset_at(zone, change - TimeDelta::seconds(1)))
            .map(|end| (end - TimeDelta::seconds(1)).max(wall)),
        None => Some(wall),
    }
}

/// The zone of a name in the tz database.
///
/// # Errors
/// If there is no zone of that name. The text suggests a similar one.
pub fn named(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        let hint = suggest::hint(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        format!("there is no time zone `{name}`{hint}")
    })
}

/// The first instant at which the wall clocks of `zone` show `wall`, or the first later time if they skip it. `None` if
/// that is out of range.
pub fn instant_of(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    if let Some(first) = zone.from_local_datetime(&wall).earliest() {
        return Some(first.to_utc());
    }
    // In a gap: the clock change is less than a day away.
    let from = wall.and_utc().checked_sub_signed(TimeDelta::hours(36))?;
    next_change(zone, from, from.checked_add_signed(TimeDelta::hours(72))?)
}

/// Whether the wall clocks of `zone` show `wall` at some instant.
pub fn exists(zone: Tz, wall: NaiveDateTime) -> bool {
    zone.from_local_datetime(&wall).earliest().is_some()
}

/// The clock changes between two instants, each with the wall-clock times before and after it.
pub fn changes(
    zone: Tz,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = (NaiveDateTime, NaiveDateTime)> {
    let at = std::iter::successors(next_change(zone, from, until), move |at| next_change(zone, *at, until));
    at.filter_map(move |at| {
        Some((wall_at(at, offset_at(zone, at - TimeDelta::seconds(1)))?, wall_at(at, offset_at(zone, at))?))
    })
}

fn offset_at(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
}

fn wall_at(at: DateTime<Utc>, offset: TimeDelta) -> Option<NaiveDateTime> {
    at.naive_utc().checked_add_signed(offset)
}

/// The next instant, not after `until`, at which the zone's offset changes. chrono-tz exposes no table of changes, so the
/// function probes days and then bisects.
fn next_change(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if zone == Tz::UTC {
        return None;
    }
    let offset = offset_at(zone, from);
    let mut low = from;
    while low < until {
        let mut high = low.checked_add_signed(TimeDelta::days(1))?;
        if offset_at(zone, high) == offset {
            low = high;
            continue;
        }
        while high - low > TimeDelta::seconds(1) {
            let middle = low + (high - low) / 2;
            if offset_at(zone, middle) == offset { low = middle } else { high = middle }
        }
        return DateTime::from_timestamp(high.timestamp(), 0).filter(|change| *change <= until);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        runs_by(Dst::Cron, expression, zone, from, count)
    }

    fn runs_by(dst: Dst, expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let expr: CronExpr = expression.parse().expect("an expression");
        let zone: Tz = zone.parse().expect("a zone");
        let mut at: DateTime<Utc> = from.parse().expect("an instant");
        (0..count)
            .map(|_| {
                at = next_after(&expr, zone, dst, at).expect("a next instant");
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
    fn gaps_and_folds_can_be_skipped_or_run_in_full() {
        let gap = |dst, expression| runs_by(dst, expression, "Europe/Berlin", "2026-03-29T00:29:00Z", 2);
        assert_eq!(gap(Dst::Skip, "30 2 * * *"), ["03-30 02:30 +0200", "03-31 02:30 +0200"]);
        assert_eq!(gap(Dst::Skip, "45 * * * *"), ["03-29 01:45 +0100", "03-29 03:45 +0200"]);
        assert_eq!(gap(Dst::All, "30 2 * * *"), ["03-29 03:00 +0200", "03-30 02:30 +0200"]);
        assert_eq!(gap(Dst::All, "45 * * * *"), ["03-29 01:45 +0100", "03-29 03:00 +0200"]);
        let fold = |dst, expression| runs_by(dst, expression, "Europe/Berlin", "2026-10-25T00:10:00Z", 2);
        assert_eq!(fold(Dst::Skip, "45 * * * *"), ["10-25 02:45 +0200", "10-25 03:45 +0100"]);
        assert_eq!(fold(Dst::All, "30 2 * * *"), ["10-25 02:30 +0200", "10-25 02:30 +0100"]);
    }

    #[test]
    fn a_wall_time_has_an_instant_even_in_a_gap() {
        let at = |zone, wall: &str| instant_of(zone, wall.parse().expect("a time")).expect("an instant").to_rfc3339();
        assert_eq!(at(Tz::Europe__Berlin, "2026-12-24T18:00:00"), "2026-12-24T17:00:00+00:00");
        assert_eq!(at(Tz::Europe__Berlin, "2026-10-25T02:30:00"), "2026-10-25T00:30:00+00:00");
        assert_eq!(at(Tz::Europe__Berlin, "2026-03-29T02:30:00"), "2026-03-29T01:00:00+00:00");
        assert_eq!(at(Tz::Pacific__Apia, "2011-12-30T09:00:00"), "2011-12-30T10:00:00+00:00");
    }

    #[test]
    fn zones_with_unusual_changes_work() {
        assert_eq!(runs("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 1), ["11-04 01:00 -0200"]);
        assert_eq!(runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1), ["10-04 02:30 +1100"]);
        // The day that Samoa skipped is not made up for.
        assert_eq!(runs("0 9 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z", 1), ["12-31 09:00 +1400"]);
    }

    #[test]
    fn a_fixed_time_runs_once_on_each_day_of_ten_years() {
        let expr: CronExpr = "30 2 * * *".parse().expect("an expression");
        let (mut at, end): (DateTime<Utc>, DateTime<Utc>) =
            ("2020-01-01T00:00:00Z".parse().expect("a start"), "2030-01-01T00:00:00Z".parse().expect("an end"));
        let mut days = 0;
        while let Some(next) = next_after(&expr, Tz::Europe__Berlin, Dst::Cron, at).filter(|next| *next < end) {
            at = next;
            days += 1;
        }
        assert_eq!(days, 3653);
    }
}
