//! One point in time in the notation of the configuration: a wall-clock time, or a time with an offset.

use std::{fmt, str::FromStr};

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;

use super::zone;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `2026-12-24T18:00`: the instant depends on the zone.
    Wall(NaiveDateTime),
    /// `2026-12-24T18:00:00+01:00`.
    Instant(DateTime<FixedOffset>),
}

impl Moment {
    /// The instant. A wall-clock time that occurs twice means the first; one that is skipped means the first valid instant
    /// after it. `None` if the result is out of range.
    pub fn instant(&self, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Wall(wall) => zone::instant_of(zone, *wall),
            Self::Instant(instant) => Some(instant.to_utc()),
        }
    }

    /// Whether it is a wall-clock time.
    pub fn is_wall(&self) -> bool {
        matches!(self, Self::Wall(_))
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Instant(instant));
        }
        let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
        let wall = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(NaiveTime::MIN));
        wall.or_else(day).map(Self::Wall).ok_or_else(|| {
            format!("`{text}` is not a time: write 2026-12-24, 2026-12-24T18:00 or 2026-12-24T18:00:00+01:00")
        })
    }
}

impl fmt::Display for Moment {
    /// Writes text that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(wall) => write!(f, "{}", wall.format("%Y-%m-%dT%H:%M:%S")),
            Self::Instant(instant) => f.write_str(&instant.to_rfc3339()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_back() {
        for (text, shown, utc) in [
            ("2026-12-24T18:00", "2026-12-24T18:00:00", "2026-12-24T17:00:00+00:00"),
            ("2026-12-24 18:00:30", "2026-12-24T18:00:30", "2026-12-24T17:00:30+00:00"),
            ("2026-12-24", "2026-12-24T00:00:00", "2026-12-23T23:00:00+00:00"),
            ("2026-12-24T18:00:00-05:00", "2026-12-24T18:00:00-05:00", "2026-12-24T23:00:00+00:00"),
        ] {
            let moment: Moment = text.parse().expect("a moment");
            assert_eq!(moment.to_string(), shown);
            assert_eq!(moment.instant(Tz::Europe__Berlin).expect("an instant").to_rfc3339(), utc);
        }
        assert!("tomorrow".parse::<Moment>().expect_err("no time").contains("is not a time"));
        assert!("\u{0}+".parse::<Moment>().is_err());
    }
}
