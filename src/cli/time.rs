//! Instants as people read and write them.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::{
    schedule::{moment::Moment, zone},
    text::duration,
};

/// An instant in a table.
pub(super) fn text(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Parses RFC 3339, or a date with or without a time on the wall clocks of `zone`.
///
/// # Errors
/// If the text is not a time, or the clocks of the zone never show it.
pub(super) fn parse(written: &str, zone: Tz) -> anyhow::Result<DateTime<Utc>> {
    let moment: Moment = written.parse().map_err(anyhow::Error::msg)?;
    if let Moment::Wall(wall) = moment {
        anyhow::ensure!(zone::exists(zone, wall), "{written} does not exist in {zone}: the clocks go forward over it");
    }
    moment.instant(zone).with_context(|| format!("{written} is out of range"))
}

/// Parses an instant as [`parse`], or a duration before `now`.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_since(written: &str, zone: Tz, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    match duration::parse(written) {
        Ok(length) => Ok(now - length),
        Err(_) => parse(written, zone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_zone() {
        let zone = Tz::Europe__Berlin;
        assert_eq!(parse("2026-12-24 18:00", zone).expect("a time").to_rfc3339(), "2026-12-24T17:00:00+00:00");
        assert_eq!(parse("2026-12-24T18:00:00Z", zone).expect("a time").to_rfc3339(), "2026-12-24T18:00:00+00:00");
        assert_eq!(parse("2026-12-24", zone).expect("a time").to_rfc3339(), "2026-12-23T23:00:00+00:00");
        assert!(parse("2026-03-29 02:30", zone).expect_err("a gap").to_string().contains("does not exist"));
        assert!(parse("tomorrow", zone).expect_err("no time").to_string().contains("is not a time"));
    }
}
