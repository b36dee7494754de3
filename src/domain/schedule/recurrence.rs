//! Rules of recurrence: a crontab expression in a zone, an interval, days and times from lists, or a single time.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sexton_entities::states::Required;

use super::{
    moment::Moment,
    weekly::Weekly,
    zone::{self, Dst},
};
use crate::domain::{cron::CronExpr, text::duration};

/// Schedules whose runs are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follows {
    /// Their names.
    pub schedules: Vec<String>,
    /// Which end of their runs lets the own run begin.
    pub required: Required,
}

/// One rule of recurrence.
#[derive(Clone, Debug, PartialEq)]
pub enum Recurrence {
    /// At the times of a crontab expression on the wall clocks of a zone.
    Cron {
        /// The crontab expression.
        expr: CronExpr,
        /// Zone of its wall-clock times.
        zone: Tz,
        /// What happens to times that a clock change skips or repeats.
        dst: Dst,
    },
    /// At every multiple of an interval since 1970. So it does not drift, and all nodes agree.
    Every(Duration),
    /// At a first instant, and at every multiple of an interval after it.
    EveryFrom {
        /// Distance of two instants.
        interval: Duration,
        /// The first instant.
        anchor: Moment,
        /// Zone of the first instant, if that is a wall-clock time.
        zone: Tz,
    },
    /// Once.
    At {
        /// The time.
        moment: Moment,
        /// Zone of the time, if it is a wall-clock time.
        zone: Tz,
    },
    /// At the instants of other schedules, after their runs. It has no times of its own.
    After(Follows),
    /// On days of the week, at times of the day.
    Weekly {
        /// The days and times.
        weekly: Weekly,
        /// Zone of its wall-clock times.
        zone: Tz,
        /// What happens to times that a clock change skips or repeats.
        dst: Dst,
    },
}

impl Recurrence {
    /// A crontab expression with the default behaviour at clock changes. A zone inside the expression overrides `zone`.
    pub fn cron(expr: CronExpr, zone: Tz) -> Self {
        let zone = expr.zone().unwrap_or(zone);
        Self::Cron { expr, zone, dst: Dst::default() }
    }

    /// The first instant strictly after `after`.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron { expr, zone, dst } => zone::next_after(expr, *zone, *dst, after),
            Self::Weekly { weekly, zone, dst } => zone::next_after(weekly.expr(), *zone, *dst, after),
            Self::Every(interval) => next_multiple(DateTime::UNIX_EPOCH, *interval, after),
            Self::EveryFrom { interval, anchor, zone } => match anchor.instant(*zone)? {
                first if first > after => Some(first),
                first => next_multiple(first, *interval, after),
            },
            Self::At { moment, zone } => moment.instant(*zone).filter(|at| *at > after),
            Self::After(_) => None,
        }
    }

    /// The zone of its wall-clock times. `None` if it does not use wall clocks.
    pub fn zone(&self) -> Option<Tz> {
        match self {
            Self::Cron { zone, .. } | Self::Weekly { zone, .. } => Some(*zone),
            Self::At { moment, zone } | Self::EveryFrom { anchor: moment, zone, .. } => {
                moment.is_wall().then_some(*zone)
            }
            Self::Every(_) | Self::After(_) => None,
        }
    }

    /// The schedules whose runs it follows.
    pub fn follows(&self) -> Option<&Follows> {
        if let Self::After(follows) = self { Some(follows) } else { None }
    }

    /// Whether it has no times and runs once at each start of a daemon.
    pub fn is_at_start(&self) -> bool {
        matches!(self, Self::Cron { expr, .. } if expr.is_at_start())
    }

    /// A sentence in English: `At 02:30 on Monday to Friday, Europe/Berlin`.
    pub fn describe(&self) -> String {
        let text = match self {
            Self::Cron { expr, .. } if expr.is_at_start() => return expr.describe(),
            Self::Cron { expr, .. } => expr.describe(),
            Self::Weekly { weekly, .. } => weekly.expr().describe(),
            Self::Every(interval) => format!("Every {}", duration::text(*interval)),
            Self::EveryFrom { interval, anchor, .. } => format!("Every {} from {anchor}", duration::text(*interval)),
            Self::At { moment, .. } => format!("Once, at {moment}"),
            Self::After(Follows { schedules, required }) => {
                let end = match required {
                    Required::Success => "success",
                    Required::Failure => "failure",
                    Required::Always => "run",
                };
                format!("After each {end} of {}", schedules.join(" and "))
            }
        };
        let zone = self.zone().map(|zone| format!(", {}", zone.name())).unwrap_or_default();
        let dst = match self.dst() {
            Dst::Cron => "",
            Dst::Skip => "; not at times that a clock change skips, once at times that it repeats",
            Dst::All => "; later at times that a clock change skips, twice at times that it repeats",
        };
        format!("{text}{zone}{dst}")
    }

    fn dst(&self) -> Dst {
        match self {
            Self::Cron { dst, .. } | Self::Weekly { dst, .. } => *dst,
            _ => Dst::default(),
        }
    }
}

/// The first `first + n * interval` strictly after `after`.
fn next_multiple(first: DateTime<Utc>, interval: Duration, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let interval = i64::try_from(interval.as_micros()).ok().filter(|micros| *micros > 0)?;
    let first = first.timestamp_micros();
    let passed = after.timestamp_micros().checked_sub(first)?.div_euclid(interval);
    DateTime::from_timestamp_micros(passed.checked_add(1)?.checked_mul(interval)?.checked_add(first)?)
}

impl fmt::Display for Recurrence {
    /// Compared to find edited schedules. Defaults are left out, so a new default does not change the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expr, .. } => write!(f, "{expr}")?,
            Self::Weekly { weekly, .. } => write!(f, "{weekly}")?,
            Self::Every(interval) => write!(f, "every {}", duration::text(*interval))?,
            Self::EveryFrom { interval, anchor, .. } => write!(f, "every {} from {anchor}", duration::text(*interval))?,
            Self::At { moment, .. } => write!(f, "at {moment}")?,
            Self::After(Follows { schedules, required }) => write!(f, "after {} ({required})", schedules.join(", "))?,
        }
        if let Some(zone) = self.zone().filter(|zone| *zone != Tz::UTC) {
            write!(f, " {zone}")?;
        }
        match self.dst() {
            Dst::Cron => Ok(()),
            dst => write!(f, " dst {}", dst.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::weekly::{DayTimes, WeekDays, time_of_day};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn intervals_do_not_drift() {
        let rule = Recurrence::Every(Duration::from_secs(5));
        let next = rule.next_after(at("2026-11-21T10:00:07.250Z")).expect("a next instant");
        assert_eq!(next.to_rfc3339(), "2026-11-21T10:00:10+00:00");
        assert_eq!(rule.next_after(next).expect("a next instant") - next, chrono::TimeDelta::seconds(5));
    }

    #[test]
    fn an_anchored_interval_begins_at_its_anchor() {
        let anchor = "2026-01-01T00:05".parse().expect("a moment");
        let interval = Duration::from_secs(7 * 86_400);
        let rule = Recurrence::EveryFrom { interval, anchor, zone: Tz::Europe__Berlin };
        assert_eq!(rule.next_after(at("2020-01-01T00:00:00Z")), Some(at("2025-12-31T23:05:00Z")));
        assert_eq!(rule.next_after(at("2025-12-31T23:05:00Z")), Some(at("2026-01-07T23:05:00Z")));
        assert_eq!(rule.next_after(at("2026-07-01T00:00:00Z")), Some(at("2026-07-01T23:05:00Z")));
        assert_eq!(rule.to_string(), "every 7days from 2026-01-01T00:05:00 Europe/Berlin");
    }

    #[test]
    fn a_single_time_occurs_once() {
        let rule = Recurrence::At { moment: "2026-12-24T18:00".parse().expect("a moment"), zone: Tz::Europe__Berlin };
        let christmas = at("2026-12-24T17:00:00Z");
        assert_eq!(rule.next_after(at("2026-11-21T10:00:00Z")), Some(christmas));
        assert_eq!(rule.next_after(christmas), None);
        assert_eq!(rule.describe(), "Once, at 2026-12-24T18:00:00, Europe/Berlin");
    }

    #[test]
    fn what_follows_another_schedule_has_no_times() {
        let schedules = ["import", "export"].map(str::to_owned).to_vec();
        let rule = Recurrence::After(Follows { schedules, required: Required::Success });
        assert_eq!(rule.next_after(at("2026-11-21T10:00:00Z")), None);
        assert_eq!(rule.to_string(), "after import, export (success)");
        assert_eq!(rule.describe(), "After each success of import and export");
    }

    #[test]
    fn days_and_times_are_read_from_lists() {
        let days = WeekDays::read(["monday", "thu"]).expect("days");
        let weekly = Weekly::new(days, DayTimes::At(time_of_day("23:30").expect("a time"))).expect("a rule");
        let rule = Recurrence::Weekly { weekly, zone: Tz::Europe__Berlin, dst: Dst::Skip };
        assert_eq!(rule.next_after(at("2026-11-21T10:00:00Z")), Some(at("2026-11-23T22:30:00Z")));
        assert_eq!(rule.next_after(at("2026-11-23T22:30:00Z")), Some(at("2026-11-26T22:30:00Z")));
        assert_eq!(rule.to_string(), "mon,thu 23:30 Europe/Berlin dst skip");
        assert!(rule.describe().starts_with("At 23:30 on Monday and Thursday, Europe/Berlin; not at times"));
    }

    #[test]
    fn the_text_of_a_schedule_is_stable() {
        let cron = |text: &str, zone| Recurrence::cron(text.parse().expect("an expression"), zone).to_string();
        assert_eq!(cron("*/5 * * * *", Tz::UTC), "*/5 * * * *");
        assert_eq!(cron("30 2 * * MON-FRI", Tz::Europe__Berlin), "30 2 * * MON-FRI Europe/Berlin");
        assert_eq!(cron("CRON_TZ=Asia/Tokyo @daily", Tz::Europe__Berlin), "@daily Asia/Tokyo");
        assert_eq!(Recurrence::Every(Duration::from_secs(90)).to_string(), "every 1m 30s");
    }
}
