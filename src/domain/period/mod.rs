//! Time periods in the notation of Icinga 2: when something may happen.
//!
//! docs/PERIODS.md describes the rules. A period is a function of the instant. Its spans of time are computed for a stretch
//! of days at a time and are not cached.

mod calendar;
mod day;
#[cfg(test)]
mod oracle_tests;
mod resolve;
#[cfg(test)]
mod sample;
mod spans;
mod status;
mod times;
mod wall_clock;
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

/// How far the search for a change goes: a 29th of February is at most eight years away.
const AHEAD: TimeDelta = TimeDelta::days(12 * 366);
/// The search examines stretches of days that grow up to this length.
const LARGEST_PIECE: TimeDelta = TimeDelta::days(64);
/// A range of times may extend into the next day; if the zone skips a day, into the day after it.
const LOOK_BACK: Days = Days::new(2);

/// One definition: days, and the times on these days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The days.
    pub days: DayRange,
    /// The times on each of the days.
    pub times: Vec<TimeRange>,
}

impl Rule {
    /// Its times in the notation that [`read_times`] reads.
    pub fn shown_times(&self) -> String {
        self.times.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// A named time period.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Unique name, as written in `[period.NAME]`.
    pub name: String,
    /// Zone of its days and times.
    pub zone: Tz,
    /// Its own definitions.
    pub rules: Vec<Rule>,
    /// On each day, only the most specific of its own definitions apply.
    pub precedence: bool,
    /// Included times count even where they are excluded.
    pub prefer_includes: bool,
    /// Periods that add their times.
    pub includes: Vec<Arc<Period>>,
    /// Periods that remove their times.
    pub excludes: Vec<Arc<Period>>,
    /// Calendars that add the times of their events.
    pub include_ics: Vec<Calendar>,
    /// Calendars that remove the times of their events.
    pub exclude_ics: Vec<Calendar>,
}

/// All periods of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Periods(pub BTreeMap<String, Arc<Period>>);

impl Periods {
    /// The period of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Period>> {
        self.0.get(name)
    }

    /// An error message for an unknown name, with a suggestion.
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
    /// The calendars that it includes or excludes directly.
    pub fn calendars(&self) -> impl Iterator<Item = &Calendar> {
        self.include_ics.iter().chain(&self.exclude_ics)
    }

    /// The instant at which a day begins in its zone.
    pub fn begin_of(&self, day: NaiveDate) -> DateTime<Utc> {
        wall_clock::time_of(self.zone, day, 0)
    }

    /// Whether an instant is inside.
    pub fn is_inside(&self, at: DateTime<Utc>) -> bool {
        self.spans(Span { start: at, end: at + TimeDelta::seconds(1) }).contains(at)
    }

    /// The first instant after `at` at which the period begins or ends. `None` if there is no change within twelve years
    /// and no date further ahead is named.
    pub fn next_change(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.first(at, !self.is_inside(at))
    }

    /// The first instant inside, from `at` on: `at` itself if it is inside.
    pub fn next_inside(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.first(at, true)
    }

    /// The spans of the period within `whole`.
    pub fn spans(&self, whole: Span) -> Spans {
        let included = |spans: Spans| together(spans, &self.includes, &self.include_ics, whole);
        let excluded = || together(Spans::default(), &self.excludes, &self.exclude_ics, whole);
        match self.prefer_includes {
            true => included(self.own(whole).without(&excluded())),
            false => included(self.own(whole)).without(&excluded()),
        }
    }

    /// The spans of its own definitions.
    fn own(&self, whole: Span) -> Spans {
        if self.rules.is_empty() {
            return Spans::default();
        }
        let first = wall_clock::date(self.zone, whole.start);
        let last = wall_clock::date(self.zone, whole.end);
        let mut spans = Vec::new();
        let days = first.checked_sub_days(LOOK_BACK).unwrap_or(first).iter_days();
        for day in days.take_while(|day| *day <= last) {
            self.add_day(day, &mut spans);
        }
        Spans::of(spans).within(whole)
    }

    fn add_day(&self, day: NaiveDate, spans: &mut Vec<Span>) {
        for time in self.counting(day).flat_map(|rule| &rule.times) {
            let on_wall = |seconds| wall_clock::time_of(self.zone, day, seconds);
            // A day that the zone skips has no times.
            if on_wall(0) < on_wall(times::DAY) {
                spans.push(Span { start: on_wall(time.begin), end: on_wall(time.end) });
            }
        }
    }

    /// The definitions that apply on a day.
    fn counting(&self, day: NaiveDate) -> impl Iterator<Item = &Rule> {
        let holding = move || self.rules.iter().filter(move |rule| rule.days.holds(day));
        let highest = match self.precedence {
            true => holding().map(|rule| rule.days.rank()).min(),
            false => Some(u8::MAX),
        };
        holding().filter(move |rule| highest.is_some_and(|highest| rule.days.rank() <= highest))
    }

    /// The first instant from `at` on that is inside, or outside.
    fn first(&self, at: DateTime<Utc>, inside: bool) -> Option<DateTime<Utc>> {
        let soon = at.checked_add_signed(AHEAD)?;
        self.search(Span { start: at, end: soon }, inside).or_else(|| {
            // A later change can only be near a date that is named with its year.
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

    /// Adds the dates after `after` that are named with their year, in this period and those that it includes or excludes.
    fn add_landmarks(&self, after: DateTime<Utc>, found: &mut Vec<DateTime<Utc>>) {
        let dates = self.rules.iter().flat_map(|rule| rule.days.dates());
        found.extend(dates.map(|date| wall_clock::time_of(self.zone, date, 0)).filter(|at| *at > after));
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
