//! When something recurs: a crontab expression in a zone, or an interval.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{cron::CronExpr, span, zone};

/// One rule of recurrence.
#[derive(Clone, Debug, PartialEq)]
pub enum Recurrence {
    /// At the times of a crontab expression on the wall clocks of a zone.
    Cron {
        /// The expression.
        expr: CronExpr,
        /// Whose wall clocks.
        zone: Tz,
    },
    /// At every multiple of an interval since 1970, so that it neither drifts nor differs between nodes.
    Every(Duration),
}

impl Recurrence {
    /// The first instant strictly after `after`.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { expr, zone } => zone::next_after(expr, *zone, after),
            Self::Every(interval) => {
                let interval = i64::try_from(interval.as_micros()).ok().filter(|micros| *micros > 0)?;
                let passed = after.timestamp_micros().div_euclid(interval);
                DateTime::from_timestamp_micros(passed.checked_add(1)?.checked_mul(interval)?)
            }
        }
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expr, zone: Tz::UTC } => write!(f, "{expr}"),
            Self::Cron { expr, zone } => write!(f, "{expr} {zone}"),
            Self::Every(interval) => write!(f, "every {}", span::text(*interval)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_do_not_drift() {
        let rule = Recurrence::Every(Duration::from_secs(5));
        let late: DateTime<Utc> = "2026-11-21T10:00:07.250Z".parse().expect("an instant");
        let next = rule.next_after(late).expect("a next instant");
        assert_eq!(next.to_rfc3339(), "2026-11-21T10:00:10+00:00");
        assert_eq!(rule.next_after(next).expect("a next instant") - next, chrono::TimeDelta::seconds(5));
    }
}
