//! Instants as people read and write them: short, on the wall clocks of the reader.
//!
//! What [`short`] writes, [`parse`] reads, as long as the day is the same.

use chrono::{
    DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Timelike as _, Utc,
};
use chrono_tz::Tz;

use super::duration;
use crate::domain::schedule::{moment::Moment, zone};

/// The forms that [`parse`] accepts, for help texts.
pub const FORMS: &str = "15:56, `yesterday 22:00`, 2026-12-24, `2026-12-24 18:00`, 2026-12-24T18:00:00+01:00, or 2h";

/// What a time without a date, or a duration, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// The past: `22:00` is the latest one, `2h` is two hours ago.
    Past,
    /// Today: `22:00` may be ahead, `2h` is two hours ago.
    Today,
    /// The future: `22:00` is the next one, `2h` is in two hours.
    Future,
}

/// `15:56:03` today, `Nov 21 15:56` in this year, `2025-11-21 15:56` otherwise. Whole minutes have no seconds. An instant
/// in UTC has a `Z`, and one that the clocks show twice has its offset.
pub fn short(at: DateTime<Utc>, zone: Tz, now: DateTime<Utc>) -> String {
    let (local, today) = (at.with_timezone(&zone), now.with_timezone(&zone));
    let day = match (local.date_naive() == today.date_naive(), local.year() == today.year()) {
        (true, _) => "",
        (_, true) => "%b %d ",
        _ => "%Y-%m-%d ",
    };
    let time = if local.second() == 0 && local.nanosecond() == 0 { "%H:%M" } else { "%H:%M:%S" };
    let is_twice = zone.from_local_datetime(&local.naive_local()).single().is_none();
    let offset = match zone {
        Tz::UTC => "Z",
        _ if is_twice => "%:z",
        _ => "",
    };
    local.format(&format!("{day}{time}{offset}")).to_string()
}

/// The text with its instants as [`short`] writes them. A sentence about schedules and problems names them in one form
/// everywhere, in UTC; who reads it has clocks of a zone.
pub fn in_zone(text: &str, zone: Tz, now: DateTime<Utc>) -> String {
    replaced(text, |at| short(at, zone, now))
}

/// The text with each of its instants in UTC, such as `2026-11-22T14:02:00Z`, replaced.
pub fn replaced(text: &str, shown: impl Fn(DateTime<Utc>) -> String) -> String {
    let is_part = |letter: char| letter.is_ascii_digit() || "-:.TZ".contains(letter);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        out.push_str(&rest[..start]);
        let word = &rest[start..];
        let (word, after) = word.split_at(word.find(|letter| !is_part(letter)).unwrap_or(word.len()));
        let (instant, end) = word.split_at(word.find('Z').map_or(word.len(), |place| place + 1));
        match DateTime::parse_from_rfc3339(instant) {
            Ok(at) if instant.ends_with('Z') => {
                out.push_str(&shown(at.to_utc()));
                out.push_str(end);
            }
            _ => out.push_str(word),
        }
        rest = after;
    }
    out + rest
}

/// Whether the text is a distance from now, such as `2h` or `2h ago`.
pub fn is_distance(written: &str) -> bool {
    let text = written.trim();
    length(text.strip_suffix(" ago").unwrap_or(text)).is_some()
}

/// Reads an instant in one of the [`FORMS`].
///
/// # Errors
/// If the text is no instant, or the clocks of the zone never show it. The error says what is accepted.
pub fn parse(written: &str, zone: Tz, now: DateTime<Utc>, sense: Sense) -> Result<DateTime<Utc>, String> {
    let text = written.trim();
    let out_of_range = || format!("{text} is out of range");
    if text == "now" {
        return Ok(now);
    }
    if let Some(ahead) = text.strip_prefix("in ").and_then(length) {
        return now.checked_add_signed(ahead).ok_or_else(out_of_range);
    }
    let ago = text.strip_suffix(" ago").and_then(length);
    if let Some(length) = ago.or_else(|| length(text)) {
        let is_ahead = sense == Sense::Future && ago.is_none();
        let at = if is_ahead { now.checked_add_signed(length) } else { now.checked_sub_signed(length) };
        return at.ok_or_else(out_of_range);
    }
    if let Ok(moment) = text.parse::<Moment>() {
        return instant(text, moment, zone);
    }
    let (wall, at_zone) = offset(text);
    let wall = day_and_time(wall, now.with_timezone(&zone).naive_local(), sense);
    let wall = wall.ok_or_else(|| format!("`{text}` is not a time: write {FORMS}"))?;
    match at_zone {
        Some(offset) => Ok(wall.and_utc() - offset),
        None => instant(text, Moment::Wall(wall), zone),
    }
}

fn instant(text: &str, moment: Moment, zone: Tz) -> Result<DateTime<Utc>, String> {
    if let Moment::Wall(wall) = moment
        && !zone::exists(zone, wall)
    {
        return Err(format!("{text} does not exist in {zone}: the clocks go forward over it"));
    }
    moment.instant(zone).ok_or_else(|| format!("{text} is out of range"))
}

fn length(text: &str) -> Option<TimeDelta> {
    duration::parse(text).ok().and_then(|length| TimeDelta::from_std(length).ok())
}

/// The text without the offset at its end, and the offset.
fn offset(text: &str) -> (&str, Option<TimeDelta>) {
    if let Some(wall) = text.strip_suffix('Z') {
        return (wall, Some(TimeDelta::zero()));
    }
    let split = text.rfind(['+', '-']).and_then(|place| text.split_at_checked(place));
    let read = split.and_then(|(wall, offset)| {
        let (sign, time) = offset.split_at_checked(1)?;
        let length = NaiveTime::parse_from_str(time, "%H:%M").ok()? - NaiveTime::MIN;
        Some((wall, Some(if sign == "-" { -length } else { length })))
    });
    read.unwrap_or((text, None))
}

/// `15:56`, `yesterday`, `yesterday 22:00`, `Nov 21 15:56`: on the wall clocks that show `now`.
fn day_and_time(text: &str, now: NaiveDateTime, sense: Sense) -> Option<NaiveDateTime> {
    let today = now.date();
    if let Some(time) = time_of_day(text) {
        let day = match sense {
            Sense::Past if time > now.time() => today.checked_sub_days(Days::new(1))?,
            Sense::Future if time < now.time() => today.checked_add_days(Days::new(1))?,
            _ => today,
        };
        return Some(day.and_time(time));
    }
    let (day, time) = match text.rsplit_once(' ').and_then(|(day, time)| Some((day, time_of_day(time)?))) {
        Some((day, time)) => (day.trim_end(), time),
        None => (text, NaiveTime::MIN),
    };
    let day = match day {
        "today" => today,
        "yesterday" => today.checked_sub_days(Days::new(1))?,
        "tomorrow" => today.checked_add_days(Days::new(1))?,
        day => NaiveDate::parse_from_str(&format!("{} {day}", today.year()), "%Y %b %d")
            .or_else(|_| NaiveDate::parse_from_str(day, "%Y-%m-%d"))
            .ok()?,
    };
    Some(day.and_time(time))
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    ["%H:%M", "%H:%M:%S"].iter().find_map(|format| NaiveTime::parse_from_str(text, format).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BERLIN: Tz = Tz::Europe__Berlin;

    #[test]
    fn the_instants_of_a_sentence_are_in_the_zone_of_the_reader() {
        let now = "2026-11-22T18:00:00Z".parse().expect("an instant");
        let said = |text: &str| in_zone(text, BERLIN, now);
        assert_eq!(said("s did not run at 2026-11-22T14:02:00Z: gone."), "s did not run at 15:02: gone.");
        assert_eq!(said("since 2026-11-21T14:02:03.123456Z."), "since Nov 21 15:02:03.");
        for text in ["exit code 3: 14:02Z", "2026-11-22", "T-Z", "", "x 2026-11-22T14:02:00+02:00", "Zürich"] {
            assert_eq!(said(text), text);
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    /// 16:00 in Berlin.
    fn now() -> DateTime<Utc> {
        at("2026-11-21T15:00:00Z")
    }

    fn read(text: &str, sense: Sense) -> String {
        parse(text, BERLIN, now(), sense)
            .map_or_else(|error| error, |at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    }

    #[test]
    fn instants_are_short() {
        for (instant, in_berlin, in_utc) in [
            ("2026-11-21T14:56:03.9Z", "15:56:03", "14:56:03Z"),
            ("2026-11-21T14:56:00Z", "15:56", "14:56Z"),
            ("2026-11-20T23:30:00Z", "00:30", "Nov 20 23:30Z"),
            ("2026-01-02T03:04:05Z", "Jan 02 04:04:05", "Jan 02 03:04:05Z"),
            ("2025-11-21T14:56:00Z", "2025-11-21 15:56", "2025-11-21 14:56Z"),
            ("2026-10-25T00:30:00Z", "Oct 25 02:30+02:00", "Oct 25 00:30Z"),
            ("2026-10-25T01:30:00Z", "Oct 25 02:30+01:00", "Oct 25 01:30Z"),
        ] {
            assert_eq!(
                (short(at(instant), BERLIN, now()).as_str(), short(at(instant), Tz::UTC, now()).as_str()),
                (in_berlin, in_utc)
            );
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        use Sense::{Future, Past, Today};
        for (text, sense, expected) in [
            ("15:56", Past, "2026-11-21T14:56:00Z"),
            ("16:30", Past, "2026-11-20T15:30:00Z"),
            ("16:30", Today, "2026-11-21T15:30:00Z"),
            ("16:30", Future, "2026-11-21T15:30:00Z"),
            ("15:56", Future, "2026-11-22T14:56:00Z"),
            ("15:56:03", Today, "2026-11-21T14:56:03Z"),
            ("14:56:03Z", Today, "2026-11-21T14:56:03Z"),
            ("yesterday 22:00", Past, "2026-11-20T21:00:00Z"),
            ("yesterday", Past, "2026-11-19T23:00:00Z"),
            ("tomorrow 08:00", Future, "2026-11-22T07:00:00Z"),
            ("2h", Past, "2026-11-21T13:00:00Z"),
            ("2h 30m", Today, "2026-11-21T12:30:00Z"),
            ("2h ago", Future, "2026-11-21T13:00:00Z"),
            ("2h", Future, "2026-11-21T17:00:00Z"),
            ("in 2h", Past, "2026-11-21T17:00:00Z"),
            ("now", Past, "2026-11-21T15:00:00Z"),
            ("Nov 20 15:56", Today, "2026-11-20T14:56:00Z"),
            ("Oct 25 02:30+01:00", Today, "2026-10-25T01:30:00Z"),
            ("2026-12-24", Today, "2026-12-23T23:00:00Z"),
            ("2026-12-24 18:00", Today, "2026-12-24T17:00:00Z"),
            ("2026-12-24T18:00:00Z", Today, "2026-12-24T18:00:00Z"),
        ] {
            assert_eq!(read(text, sense), expected, "{text}, {sense:?}");
        }
        assert!(read("2026-03-29 02:30", Today).contains("does not exist"));
        for text in ["someday", "", "25:00", "yesterday 25:00", "Feb 30", "5", "\u{0}+", "+", "-01:00"] {
            assert!(read(text, Past).contains("is not a time: write 15:56, `yesterday 22:00`"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_copied(seconds in 1_600_000_000_i64..1_900_000_000, zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let (zone, instant) = (chrono_tz::TZ_VARIANTS[zone], DateTime::from_timestamp(seconds, 0).expect("in range"));
            let shown = short(instant, zone, now());
            prop_assert_eq!(parse(&shown, zone, now(), Sense::Today), Ok(instant), "{}", shown);
        }
    }
}
