//! Days, times and lengths in the notation of iCalendar.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use icalendar::parser::Property;

use crate::domain::period::wall_clock;

/// A day, or a wall-clock time of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventTime {
    Day(NaiveDate),
    Time(NaiveDateTime, Tz),
}

/// Length of an event: calendar days plus real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    days: i64,
    time: TimeDelta,
}

impl EventTime {
    /// Reads one value of a property.
    ///
    /// # Errors
    /// If the value is neither a day nor a time, or its zone does not exist.
    pub(super) fn read(property: &Property<'_>, value: &str, zone: Tz) -> Result<Self, String> {
        let parameter = |key: &str| {
            let found = property.params.iter().find(|parameter| parameter.key == key);
            found.and_then(|parameter| parameter.val.as_ref()).map(|value| value.as_str().trim_matches('"'))
        };
        let own = parameter("TZID").map(zone_of).transpose();
        own.and_then(|own| Self::parse(value, own, zone))
            .map_err(|problem| format!("{}: {problem}", property.name.as_str()))
    }

    /// Reads `20261224`, `20261224T180000` and `20261224T170000Z`.
    ///
    /// # Errors
    /// If the value is neither a day nor a time.
    pub(super) fn parse(value: &str, own: Option<Tz>, zone: Tz) -> Result<Self, String> {
        let value = value.trim();
        if let Ok(day) = NaiveDate::parse_from_str(value, "%Y%m%d") {
            return Ok(Self::Day(day));
        }
        let (written, zone) = match value.strip_suffix('Z') {
            Some(written) => (written, Tz::UTC),
            None => (value, own.unwrap_or(zone)),
        };
        let wall = NaiveDateTime::parse_from_str(written, "%Y%m%dT%H%M%S");
        wall.map(|wall| Self::Time(wall, zone))
            .map_err(|_| format!("`{value}` is neither a day nor a time, expected 20261224 or 20261224T180000"))
    }

    /// The wall-clock time. A day means its midnight.
    pub(super) fn wall(self) -> NaiveDateTime {
        match self {
            Self::Day(day) => midnight(day),
            Self::Time(wall, _) => wall,
        }
    }

    /// The same kind of value with another wall-clock time.
    pub(super) fn at_wall(self, wall: NaiveDateTime) -> Self {
        match self {
            Self::Day(_) => Self::Day(wall.date()),
            Self::Time(_, zone) => Self::Time(wall, zone),
        }
    }

    /// The instant. A day begins by the wall clocks of `zone`.
    pub(super) fn instant(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::Day(day) => wall_clock::instant(zone, midnight(day)),
            Self::Time(wall, own) => wall_clock::instant(own, wall),
        }
    }

    /// Whether `other` is the same instant, or on the same day if this is a day.
    pub(super) fn is(self, other: Self, zone: Tz) -> bool {
        match self {
            Self::Day(day) => other.wall().date() == day,
            Self::Time(..) => self.instant(zone) == other.instant(zone),
        }
    }

    /// Whether it is not later than `last`, the end of a recurrence.
    pub(super) fn is_by(self, last: Self, zone: Tz) -> bool {
        match (self, last) {
            (_, Self::Day(day)) => self.wall().date() <= day,
            (Self::Day(day), Self::Time(last, _)) => day <= last.date(),
            _ => self.instant(zone) <= last.instant(zone),
        }
    }
}

impl Length {
    pub(super) fn between(start: EventTime, end: EventTime, zone: Tz) -> Result<Self, String> {
        let length = match (start, end) {
            (EventTime::Day(first), EventTime::Day(next)) => {
                Self { days: (next - first).num_days(), time: TimeDelta::zero() }
            }
            _ => Self { days: 0, time: end.instant(zone) - start.instant(zone) },
        };
        match length.days < 0 || length.time < TimeDelta::zero() {
            true => Err("DTEND is before DTSTART".to_owned()),
            // Some programs write DTEND = DTSTART for an event of one day.
            false if length == Self::NOTHING => Ok(Self::without_end(start)),
            false => Ok(length),
        }
    }

    const NOTHING: Self = Self { days: 0, time: TimeDelta::zero() };

    /// The length of an event without an end: a whole day, or nothing if it begins at a time of day.
    pub(super) fn without_end(start: EventTime) -> Self {
        match start {
            EventTime::Day(_) => Self { days: 1, ..Self::NOTHING },
            EventTime::Time(..) => Self::NOTHING,
        }
    }

    /// Reads `P1D`, `PT1H30M`, `P2W`.
    ///
    /// # Errors
    /// If the text is not a duration of RFC 5545.
    pub(super) fn read(written: &str) -> Result<Self, String> {
        let refused = || format!("DURATION: `{written}` is not a duration, expected one such as P1D or PT1H30M");
        let rest = written.trim().trim_start_matches('+').strip_prefix('P').ok_or_else(refused)?;
        let (mut length, mut number) = (Self::NOTHING, String::new());
        for letter in rest.chars() {
            if letter.is_ascii_digit() && number.len() < 6 {
                number.push(letter);
                continue;
            }
            let count: Option<i64> = std::mem::take(&mut number).parse().ok();
            match (letter, count) {
                ('T', None) => {}
                ('W', Some(weeks)) => length.days += 7 * weeks,
                ('D', Some(days)) => length.days += days,
                ('H', Some(hours)) => length.time += TimeDelta::hours(hours),
                ('M', Some(minutes)) => length.time += TimeDelta::minutes(minutes),
                ('S', Some(seconds)) => length.time += TimeDelta::seconds(seconds),
                _ => return Err(refused()),
            }
        }
        if number.is_empty() { Ok(length) } else { Err(refused()) }
    }

    /// The end of an event of this length.
    pub(super) fn end_of(self, start: EventTime, zone: Tz) -> DateTime<Utc> {
        let days = start.wall().checked_add_signed(TimeDelta::days(self.days)).unwrap_or(start.wall());
        start.at_wall(days).instant(zone) + self.time
    }
}

/// The zone of a `TZID`. Some programs write a path before the name.
fn zone_of(id: &str) -> Result<Tz, String> {
    let mut rest = id.trim_start_matches('/');
    loop {
        if let Ok(zone) = rest.parse() {
            return Ok(zone);
        }
        let Some((_, shorter)) = rest.split_once('/') else {
            return Err(format!(
                "there is no time zone `{id}`: export the calendar with names such as `Europe/Berlin`"
            ));
        };
        rest = shorter;
    }
}

/// The first instant of a day, on the wall.
fn midnight(day: NaiveDate) -> NaiveDateTime {
    day.and_time(NaiveTime::MIN)
}
