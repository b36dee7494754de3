//! Compiled expressions: the times of day, and the days.
//!
//! `saffron` handles minutes, hours, months and plain days, and receives canonical lists only. This module handles seconds,
//! years, and the days for which `saffron` is wrong or has no notation.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, TimeDelta, Timelike as _, Utc};

use super::{
    days::{CronDays, list},
    error::CronError,
    field::{FIRST_YEAR, FieldPart, FieldRule, HOUR, MINUTE, MONTH, SECOND, YEAR},
    values::Values,
};

/// A search for a day ends after this many years: it covers a century without a leap year.
const CYCLE: i32 = 40;
/// The years in which an expression must match a date. Rules have no clock, so these are any eight years with two leap
/// years.
const JUDGED: (i32, i32) = (2025, 2032);

/// A compiled expression.
#[derive(Clone)]
pub(super) struct CompiledCron {
    pub(super) seconds: Values,
    pub(super) minutes: Values,
    pub(super) hours: Values,
    pub(super) days: CronDays,
    pub(super) months: Values,
    /// Years counted from [`FIRST_YEAR`]. `None` means every year.
    pub(super) years: Option<Values>,
    /// Whether the minute or the hour begins with a star.
    pub(super) wildcard: bool,
    compiled: saffron::Cron,
    /// Whether this module decides on the days, instead of `compiled`.
    own_days: bool,
}

impl CompiledCron {
    /// Compiles the fields of `source`.
    ///
    /// # Errors
    /// If a field is invalid or no date matches.
    pub(super) fn compile(fields: &[FieldPart<'_>], name: &str, source: &str) -> Result<Self, CronError> {
        let (seconds, fields) = match fields.len() {
            5 => (None, fields),
            _ => (fields.first(), fields.get(1..).unwrap_or_default()),
        };
        let &[minute, hour, day_of_month, month, day_of_week, ref rest @ ..] = fields else {
            return Err(CronError::FieldCount {
                source_text: source.to_owned(),
                found: fields.len(),
                hint: String::new(),
            });
        };
        let read = |rule: &FieldRule, part: FieldPart<'_>| rule.read(part, name);
        let seconds = seconds.map_or(Ok(Values::range(0, 0)), |part| read(&SECOND, *part))?;
        let (minutes, hours) = (read(&MINUTE, minute)?, read(&HOUR, hour)?);
        let days = CronDays::read(day_of_month, day_of_week, name)?;
        let months = read(&MONTH, month)?;
        let years = match rest.first() {
            Some(year) if !matches!(year.text, "*" | "?") => Some(read(&YEAR, *year)?),
            _ => None,
        };
        let plain = days.plain();
        let own_days = plain.is_none();
        let (by_month, by_week) = plain.unwrap_or_else(|| ("*".to_owned(), "*".to_owned()));
        let star = |values: &Values, rule: &FieldRule| match *values == rule.all() {
            true => "*".to_owned(),
            false => list(values, 0),
        };
        let canonical = format!(
            "{} {} {by_month} {} {by_week}",
            star(&minutes, &MINUTE),
            star(&hours, &HOUR),
            star(&months, &MONTH)
        );
        let never = || CronError::Never(source.to_owned());
        let compiled = canonical.parse().map_err(|_| never())?;
        let wildcard = [minute, hour].iter().any(|part| part.is_star());
        let plan = Self { seconds, minutes, hours, days, months, years, wildcard, compiled, own_days };
        if plan.ever_comes() { Ok(plan) } else { Err(never()) }
    }

    fn ever_comes(&self) -> bool {
        let years: Vec<i32> = match &self.years {
            Some(years) => years.iter().map(|year| i32::from(year + FIRST_YEAR)).collect(),
            None => (JUDGED.0..=JUDGED.1).collect(),
        };
        years.iter().any(|year| self.months.iter().any(|month| self.days.chosen(*year, u32::from(month)) != 0))
    }

    /// The first matching wall-clock time strictly after `wall`. `None` if no date matches any more.
    pub(super) fn next_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let minute = wall.with_second(0)?.with_nanosecond(0)?;
        let in_minute = self.seconds.first_from(wall.second() as u16 + 1).filter(|second| *second < 60);
        if let Some(second) = in_minute.filter(|_| self.contains(minute)) {
            return minute.with_second(u32::from(second));
        }
        self.next_minute(minute)?.with_second(u32::from(self.seconds.first_from(0)?))
    }

    /// Whether a full minute matches.
    fn contains(&self, minute: NaiveDateTime) -> bool {
        self.compiled.contains(minute.and_utc()) && self.next_day(minute.date()) == Some(minute.date())
    }

    fn next_minute(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut from = after.and_utc();
        loop {
            let found: DateTime<Utc> = self.compiled.next_after(from)?;
            let date = found.date_naive();
            match self.next_day(date)? {
                day if day == date => return Some(found.naive_utc()),
                // The first minute of that day may match.
                day => from = day.and_hms_opt(0, 0, 0)?.checked_sub_signed(TimeDelta::minutes(1))?.and_utc(),
            }
        }
    }

    /// The first selected day from `from` on, if this module decides on the years or the days.
    fn next_day(&self, from: NaiveDate) -> Option<NaiveDate> {
        if !self.own_days && self.years.is_none() {
            return Some(from);
        }
        let year_at = |index: u16| i32::from(index + FIRST_YEAR);
        let from = match &self.years {
            Some(years) => from.max(NaiveDate::from_ymd_opt(year_at(years.first_from(0)?), 1, 1)?),
            None => from,
        };
        let last = match &self.years {
            Some(years) => year_at(years.last()?),
            None => from.year().saturating_add(CYCLE),
        };
        for year in from.year()..=last {
            let index = u16::try_from(year - i32::from(FIRST_YEAR)).ok();
            if self.years.is_some_and(|years| !index.is_some_and(|index| years.contains(index))) {
                continue;
            }
            for month in self.months.iter().map(u32::from) {
                let mut days = self.days.chosen(year, month);
                if (year, month) == (from.year(), from.month()) {
                    days &= u32::MAX << from.day();
                }
                if days != 0 && (year, month) >= (from.year(), from.month()) {
                    return NaiveDate::from_ymd_opt(year, month, days.trailing_zeros());
                }
            }
        }
        None
    }
}
