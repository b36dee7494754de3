//! Instants as people write and read them.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::{
    schedule::{moment::Moment, zone},
    text::duration,
};

/// An instant in a table.
pub(super) fn shown(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Reads RFC 3339, or a date with or without a time on the wall clocks of `zone`.
pub(super) fn parse(text: &str, zone: Tz) -> anyhow::Result<DateTime<Utc>> {
    let moment: Moment = text.parse().map_err(anyhow::Error::msg)?;
    if let Moment::Wall(wall) = moment {
        anyhow::ensure!(
            zone::exists(zone, wall),
            "{text} does not exist in {zone}: the clocks are set forward over it"
        );
    }
    moment.instant(zone).with_context(|| format!("{text} is beyond what can be told"))
}

/// Reads an instant in the past: as [`parse`], or a length of time before `now`.
pub(super) fn parse_since(text: &str, zone: Tz, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    match duration::parse(text) {
        Ok(length) => Ok(now - length),
        Err(_) => parse(text, zone),
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
