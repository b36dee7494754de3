//! Time periods, in the language of Icinga 2's: when something may happen, and when it may not.
//!
//! docs/PERIODS.md tells the rules for people. A period is a function of the instant: which spans of time it has is
//! found out for a stretch of days at a time, and nothing is remembered.

mod calendar;
mod day;
#[cfg(test)]
mod oracle;
mod resolve;
#[cfg(test)]
mod sample;
mod spans;
mod status;
mod times;
mod walls;
mod words;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;

#[cfg(test)]
pub(crate) use self::sample::sample;
pub use self::{
    calendar::{Calendar, days_of as read_calendar},
    day::{DayRange, DaySpec, Until},
    resolve::{Fault, PeriodDraft, resolve},
    spans::{Span, Spans},
    status::{By, Edge, Gap, PeriodStatus},
    times::{TimeRange, parse as read_times},
    words::RangeError,
};
use crate::domain::text::suggest;

/// How far ahead a change is looked for: a 29th of February is at most eight years away.
const AHEAD: TimeDelta = TimeDelta::days(12 * 366);
/// Days are looked through in pieces that grow up to this.
const LARGEST_PIECE: TimeDelta = TimeDelta::days(64);
/// A range of times reaches into the next day; where a zone leaves out a day, into the one after that.
const LOOK_BACK: Days = Days::new(2);

/// The days of one definition, and their times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which days.
    pub days: DayRange,
    /// Which times of them.
    pub times: Vec<TimeRange>,
}

impl Rule {
    /// Its times, as they can be read again.
    pub fn shown_times(&self) -> String {
        self.times.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// When something may happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Its name.
    pub name: String,
    /// On whose clocks its times are read.
    pub zone: Tz,
    /// Its own days and times.
    pub rules: Vec<Rule>,
    /// Whether of a day's definitions only the most special ones count.
    pub precedence: bool,
    /// Whether what is included counts even where it is excluded.
    pub prefer_includes: bool,
    /// Periods whose times count as well.
    pub includes: Vec<Arc<Period>>,
    /// Periods whose times do not count.
    pub excludes: Vec<Arc<Period>>,
    /// Calendars whose events count as well.
    pub include_ics: Vec<Calendar>,
    /// Calendars whose events do not count.
    pub exclude_ics: Vec<Calendar>,
}

/// All periods, ready to be asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Periods(pub BTreeMap<String, Arc<Period>>);

impl Periods {
    /// The period of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Period>> {
        self.0.get(name)
    }

    /// That there is no such period, and what was probably meant.
    pub fn unknown(&self, name: &str) -> String {
        unknown(name, self.0.keys())
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let hint = match suggest::hint_or_list(name, known.map(String::as_str)) {
        hint if hint.is_empty() => "; none is defined".to_owned(),
        hint => hint,
    };
    format!("there is no period `{name}`{hint}")
}

impl Period {
    /// The calendars that it names itself.
    pub fn calendars(&self) -> impl Iterator<Item = &Calendar> {
        self.include_ics.iter().chain(&self.exclude_ics)
    }

    /// When a day begins on the clocks of its zone.
    pub fn begin_of(&self, day: NaiveDate) -> DateTime<Utc> {
        walls::time_of(self.zone, day, 0)
    }

    /// Whether it holds at that instant.
    pub fn is_inside(&self, at: DateTime<Utc>) -> bool {
        self.spans(Span { start: at, end: at + TimeDelta::seconds(1) }).contains(at)
    }

    /// The first instant after `at` at which it begins to hold, or ceases to; none if that is not within twelve years.
    pub fn next_change(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.first(at, !self.is_inside(at))
    }

    /// The first instant from `at` on at which it holds: `at` itself, if it holds then.
    pub fn next_inside(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.first(at, true)
    }

    /// All spans of time in which it holds, as far as they lie within `whole`.
    pub fn spans(&self, whole: Span) -> Spans {
        let included = |spans: Spans| together(spans, &self.includes, &self.include_ics, whole);
        let excluded = || together(Spans::default(), &self.excludes, &self.exclude_ics, whole);
        match self.prefer_includes {
            true => included(self.own(whole).without(&excluded())),
            false => included(self.own(whole)).without(&excluded()),
        }
    }

    /// The times of its own definitions.
    fn own(&self, whole: Span) -> Spans {
        if self.rules.is_empty() {
            return Spans::default();
        }
        let first = walls::date(self.zone, whole.start);
        let last = walls::date(self.zone, whole.end);
        let mut spans = Vec::new();
        let days = first.checked_sub_days(LOOK_BACK).unwrap_or(first).iter_days();
        for day in days.take_while(|day| *day <= last) {
            self.add_day(day, &mut spans);
        }
        Spans::of(spans).within(whole)
    }

    fn add_day(&self, day: NaiveDate, spans: &mut Vec<Span>) {
        for time in self.counting(day).flat_map(|rule| &rule.times) {
            let on_wall = |seconds| walls::time_of(self.zone, day, seconds);
            // A day that the zone leaves out has no times.
            if on_wall(0) < on_wall(times::DAY) {
                spans.push(Span { start: on_wall(time.begin), end: on_wall(time.end) });
            }
        }
    }

    /// The definitions that give a day its times.
    fn counting(&self, day: NaiveDate) -> impl Iterator<Item = &Rule> {
        let holding = move || self.rules.iter().filter(move |rule| rule.days.holds(day));
        let highest = match self.precedence {
            true => holding().map(|rule| rule.days.rank()).min(),
            false => Some(u8::MAX),
        };
        holding().filter(move |rule| highest.is_some_and(|highest| rule.days.rank() <= highest))
    }

    /// The first instant from `at` on at which it holds, or does not.
    fn first(&self, at: DateTime<Utc>, inside: bool) -> Option<DateTime<Utc>> {
        let soon = at.checked_add_signed(AHEAD)?;
        self.search(Span { start: at, end: soon }, inside).or_else(|| {
            // What comes that late comes around a date that is named with its year.
            let mut late = Vec::new();
            self.add_landmarks(soon, &mut late);
            late.sort();
            late.dedup();
            let around = |date: DateTime<Utc>| {
                let start = date.checked_sub_signed(TimeDelta::days(2))?.max(soon);
                Some(Span { start, end: date.checked_add_signed(AHEAD)? })
            };
            late.into_iter().filter_map(around).find_map(|whole| self.search(whole, inside))
        })
    }

    fn search(&self, whole: Span, inside: bool) -> Option<DateTime<Utc>> {
        let mut start = whole.start;
        let mut length = TimeDelta::days(2);
        while start < whole.end {
            let piece = Span { start, end: (start + length).min(whole.end) };
            let spans = self.spans(piece);
            let found = match spans.as_slice().first() {
                Some(span) if inside => Some(span.start),
                Some(span) if span.start == start => Some(span.end).filter(|end| *end < piece.end),
                None if inside => None,
                _ => Some(start),
            };
            if found.is_some() {
                return found;
            }
            start = piece.end;
            length = (length * 2).min(LARGEST_PIECE);
        }
        None
    }

    /// Dates after `after` that are named with their year, here or in what is included or excluded.
    fn add_landmarks(&self, after: DateTime<Utc>, found: &mut Vec<DateTime<Utc>>) {
        let dates = self.rules.iter().flat_map(|rule| rule.days.dates());
        found.extend(dates.map(|date| walls::time_of(self.zone, date, 0)).filter(|at| *at > after));
        found
            .extend(self.calendars().filter_map(|calendar| Some(calendar.spans.from(after).first()?.start.max(after))));
        for period in self.includes.iter().chain(&self.excludes) {
            period.add_landmarks(after, found);
        }
    }
}

fn together(spans: Spans, periods: &[Arc<Period>], calendars: &[Calendar], whole: Span) -> Spans {
    let spans = periods.iter().fold(spans, |spans, period| spans.and(&period.spans(whole)));
    calendars.iter().fold(spans, |spans, calendar| spans.and(&calendar.spans.within(whole)))
}

#[cfg(test)]
mod tests;
