//! Calendars in the iCalendar format (RFC 5545): their events as spans of time.
//!
//! Recurring events are computed in wall-clock time, as if the zone had no clock changes. Each one is converted into an
//! instant afterwards, so the rule for clock changes is the same as everywhere in a period.

mod moment;

use chrono::{Datelike as _, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;
use icalendar::parser::{Component, Property, read_calendar, unfold};
use rrule::{RRule, Unvalidated};

use self::moment::{EventTime, Length};
use super::spans::{Span, Spans};

/// Occurrences in this year or later are ignored.
const END: i32 = 2100;
/// Maximum number of occurrences of an event: one each day for more than a century.
const MOST: usize = 50_000;
/// Maximum depth of nested components.
const DEEPEST: usize = 8;

/// A calendar of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// File name, as written in the configuration.
    pub file: String,
    /// The times of its events.
    pub spans: Spans,
}

/// Reads a calendar and returns the times of its events. Days, and times without a zone, belong to `zone`.
///
/// # Errors
/// If the text is not an iCalendar file, or an event in it is invalid. The error names the event.
pub fn days_of(text: &str, zone: Tz) -> Result<Spans, String> {
    let text = unfold(text.trim_start_matches('\u{feff}').trim_start());
    check_shape(&text)?;
    let calendar =
        read_calendar(&text).map_err(|_| "it is not an iCalendar file, or it has an invalid line".to_owned())?;
    let components = || {
        calendar.components.iter().flat_map(|component| match component.name.as_str() {
            "VCALENDAR" => component.components.as_slice(),
            _ => std::slice::from_ref(component),
        })
    };
    let events: Vec<Event<'_>> = components()
        .filter(|component| component.name == "VEVENT")
        .map(|component| Event { component, zone })
        .collect();
    let mut spans = Vec::new();
    for event in events.iter().filter(|event| event.value("STATUS") != Some("CANCELLED")) {
        event.add_spans(&events, &mut spans).map_err(|problem| format!("event {}: {problem}", event.title()))?;
    }
    Ok(Spans::of(spans))
}

/// Checks for errors that the parser would report on a page, or that would crash it.
fn check_shape(text: &str) -> Result<(), String> {
    if !text.get(..15).is_some_and(|begin| begin.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return Err("it is not an iCalendar file: it does not begin with `BEGIN:VCALENDAR`".to_owned());
    }
    let mut depth = 0_usize;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("BEGIN:") {
            depth += 1;
        }
        if line.starts_with("END:") {
            depth = depth.saturating_sub(1);
        }
        if depth > DEEPEST {
            return Err(format!("`{line}` in logical line {} is nested too deeply", number + 1));
        }
    }
    match depth {
        0 => Ok(()),
        _ => Err("it is incomplete: an `END:` is missing".to_owned()),
    }
}

/// One event of a calendar.
struct Event<'a> {
    component: &'a Component<'a>,
    /// Zone of its days, and of its times without a zone.
    zone: Tz,
}

impl Event<'_> {
    fn properties(&self, name: &str) -> impl Iterator<Item = &Property<'_>> {
        self.component.properties.iter().filter(move |property| property.name == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.properties(name).next().map(|property| property.val.as_str())
    }

    fn title(&self) -> String {
        let title = self.value("SUMMARY").or(self.value("UID")).unwrap_or("without a name");
        format!("`{}`", title.chars().take(60).collect::<String>())
    }

    /// All values of a property that lists days or times.
    fn moments(&self, name: &str) -> Result<Vec<EventTime>, String> {
        let properties = self.properties(name);
        let values =
            properties.flat_map(|property| property.val.as_str().split(',').map(move |value| (property, value)));
        values.map(|(property, value)| EventTime::read(property, value, self.zone)).collect()
    }

    fn start(&self) -> Result<EventTime, String> {
        self.moments("DTSTART")?.first().copied().ok_or_else(|| "DTSTART is missing".to_owned())
    }

    fn length(&self, start: EventTime) -> Result<Length, String> {
        if let Some(end) = self.moments("DTEND")?.first() {
            return Length::between(start, *end, self.zone);
        }
        match self.value("DURATION") {
            Some(written) => Length::read(written),
            None => Ok(Length::without_end(start)),
        }
    }

    fn add_spans(&self, all: &[Self], spans: &mut Vec<Span>) -> Result<(), String> {
        let start = self.start()?;
        let length = self.length(start)?;
        let mut without = self.moments("EXDATE")?;
        if self.value("RECURRENCE-ID").is_none() {
            // A single occurrence that was moved is an event of its own in the calendar.
            for other in
                all.iter().filter(|other| other.value("UID").is_some() && other.value("UID") == self.value("UID"))
            {
                without.extend(other.moments("RECURRENCE-ID")?);
            }
        }
        let mut starts = match self.value("RRULE") {
            Some(rule) => self.recurring(start, rule)?,
            None => vec![start],
        };
        starts.extend(self.moments("RDATE")?);
        let counting = starts.into_iter().filter(|start| !without.iter().any(|other| other.is(*start, self.zone)));
        spans.extend(
            counting.map(|start| Span { start: start.instant(self.zone), end: length.end_of(start, self.zone) }),
        );
        Ok(())
    }

    /// The times at which a recurring event begins.
    fn recurring(&self, start: EventTime, rule: &str) -> Result<Vec<EventTime>, String> {
        let (mut parts, mut until) = (Vec::new(), None);
        for part in rule.split(';') {
            match part.split_once('=') {
                Some(("UNTIL", value)) => until = Some(EventTime::parse(value, None, self.zone)?),
                Some(("FREQ", often @ ("HOURLY" | "MINUTELY" | "SECONDLY"))) => {
                    return Err(format!(
                        "RRULE: FREQ={often} is too frequent, expected DAILY, WEEKLY, MONTHLY or YEARLY"
                    ));
                }
                _ => parts.push(part),
            }
        }
        let refused = |error: rrule::RRuleError| format!("RRULE: `{rule}` cannot be read: {error}");
        let rule: RRule<Unvalidated> = parts.join(";").parse().map_err(refused)?;
        let set = rule.build(rrule::Tz::UTC.from_utc_datetime(&start.wall())).map_err(refused)?;
        let walls =
            set.limit().into_iter().map(|at| at.naive_utc()).take_while(|wall: &NaiveDateTime| wall.year() < END);
        let moments = walls.map(|wall| start.at_wall(wall));
        let due = moments.take_while(|moment| until.is_none_or(|until| moment.is_by(until, self.zone)));
        Ok(due.take(MOST).collect())
    }
}

#[cfg(test)]
mod tests;
