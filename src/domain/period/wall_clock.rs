//! Conversion of wall-clock times into instants, across clock changes.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// Longer than any clock change, so that a time this much earlier is before it.
const BEFORE: TimeDelta = TimeDelta::hours(24);

/// The instant at which the clocks of `zone` show `wall`. If they show it twice, the first one. If a change skips it, the
/// instant at which they would show it without the change.
pub(super) fn instant(zone: Tz, wall: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
        LocalResult::None => {
            let offset = zone.offset_from_utc_datetime(&(wall - BEFORE)).fix().local_minus_utc();
            (wall - TimeDelta::seconds(i64::from(offset))).and_utc()
        }
    }
}

/// The instant at which the clocks show this many seconds after midnight of a day.
pub(super) fn time_of(zone: Tz, day: NaiveDate, seconds: u32) -> DateTime<Utc> {
    instant(zone, day.and_time(NaiveTime::MIN) + TimeDelta::seconds(i64::from(seconds)))
}

/// The date in a zone.
pub(super) fn date(zone: Tz, at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str, wall: &str) -> String {
        let zone = zone.parse().expect("a zone");
        instant(zone, wall.parse().expect("a time")).with_timezone(&zone).to_rfc3339()
    }

    #[test]
    fn times_at_clock_changes_are_converted() {
        assert_eq!(at("Europe/Berlin", "2026-03-29T02:30:00"), "2026-03-29T03:30:00+02:00");
        assert_eq!(at("Europe/Berlin", "2026-10-25T02:30:00"), "2026-10-25T02:30:00+02:00");
        assert_eq!(at("Europe/Berlin", "2026-10-25T03:00:00"), "2026-10-25T03:00:00+01:00");
        assert_eq!(at("America/Sao_Paulo", "2018-11-04T00:00:00"), "2018-11-04T01:00:00-02:00");
        assert_eq!(at("Australia/Lord_Howe", "2026-10-04T02:15:00"), "2026-10-04T02:45:00+11:00");
        assert_eq!(at("Pacific/Apia", "2011-12-30T12:00:00"), "2011-12-31T12:00:00+14:00");
    }
}
