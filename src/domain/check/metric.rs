//! What a check measures, and which values are not well by default.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::range::Range;
use crate::domain::text::suggest;

/// A value that a check measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Seconds until the database has answered.
    DatabaseTime,
    /// Nodes with a lease.
    Nodes,
    /// Seconds since the latest heartbeat of a node.
    Heartbeat,
    /// Running tasks.
    Running,
    /// Tasks that are due and do not run.
    Waiting,
    /// Seconds since the oldest of them is due.
    OldestWaiting,
    /// Schedules whose next instant has passed without a task.
    Overdue,
    /// Seconds since the latest attempt that succeeded.
    LastSuccess,
    /// Tasks that were discarded within the last hour.
    Discarded,
    /// Open problems, except those that are acknowledged or muted.
    Problems,
    /// Files with finished attempts that the database does not have yet.
    Spool,
    /// Seconds by which the clock of this machine is ahead of the database's.
    ClockDifference,
    /// Free space of the file system of `state_dir`, in percent.
    DiskFree,
}

/// The ranges outside of which a value is not well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MetricLimits {
    /// Raises a warning.
    pub warning: Option<Range>,
    /// Raises a critical state.
    pub critical: Option<Range>,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 13] = [
        Self::DatabaseTime,
        Self::Nodes,
        Self::Heartbeat,
        Self::Running,
        Self::Waiting,
        Self::OldestWaiting,
        Self::Overdue,
        Self::LastSuccess,
        Self::Discarded,
        Self::Problems,
        Self::Spool,
        Self::ClockDifference,
        Self::DiskFree,
    ];

    /// The name, in performance data and before the range of an option.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseTime => "database_time",
            Self::Nodes => "nodes",
            Self::Heartbeat => "heartbeat",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::OldestWaiting => "oldest_waiting",
            Self::Overdue => "overdue",
            Self::LastSuccess => "last_success",
            Self::Discarded => "discarded",
            Self::Problems => "problems",
            Self::Spool => "spool",
            Self::ClockDifference => "clock_difference",
            Self::DiskFree => "disk_free",
        }
    }

    /// The unit in performance data.
    pub fn unit(self) -> &'static str {
        match self {
            Self::DatabaseTime | Self::Heartbeat | Self::OldestWaiting | Self::LastSuccess | Self::ClockDifference => {
                "s"
            }
            Self::DiskFree => "%",
            _ => "",
        }
    }

    /// The smallest and largest possible value, where there is one.
    pub fn bounds(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::ClockDifference => (None, None),
            Self::DiskFree => (Some(0.0), Some(100.0)),
            _ => (Some(0.0), None),
        }
    }

    /// The limits that count unless others are given.
    pub fn default_limits(self) -> MetricLimits {
        let limits = |warning, critical| MetricLimits { warning, critical };
        match self {
            Self::Nodes => limits(None, Some(Range::at_least(1.0))),
            Self::Heartbeat => limits(None, Some(Range::to(60.0))),
            Self::OldestWaiting => limits(Some(Range::to(300.0)), Some(Range::to(3_600.0))),
            Self::Overdue => limits(None, Some(Range::to(0.0))),
            Self::Discarded => limits(Some(Range::to(0.0)), Some(Range::to(100.0))),
            Self::Problems | Self::Spool => limits(Some(Range::to(0.0)), None),
            Self::ClockDifference => limits(Some(Range::between(-2.0, 2.0)), Some(Range::between(-60.0, 60.0))),
            Self::DiskFree => limits(Some(Range::at_least(10.0)), Some(Range::at_least(3.0))),
            Self::DatabaseTime | Self::Running | Self::Waiting | Self::LastSuccess => MetricLimits::default(),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A range as an option gives it: `300`, or `disk_free=20:`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    metric: Option<Metric>,
    range: Range,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let Some((name, range)) = written.split_once('=') else {
            return Ok(Self { metric: None, range: written.parse()? });
        };
        let metric = Metric::ALL.into_iter().find(|metric| metric.as_str() == name).ok_or_else(|| {
            format!("there is no value `{name}`{}", suggest::hint_or_list(name, Metric::ALL.map(Metric::as_str)))
        })?;
        Ok(Self { metric: Some(metric), range: range.parse()? })
    }
}

/// The limits of each metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    given: BTreeMap<Metric, MetricLimits>,
}

impl Thresholds {
    /// Those that were given; a range without a name is for `main`. Who sets one limit of a value without the other
    /// leaves the other one as it is by default.
    pub fn new(warning: &[Threshold], critical: &[Threshold], main: Metric) -> Self {
        let mut given: BTreeMap<Metric, MetricLimits> = BTreeMap::new();
        let mut limits = |threshold: &Threshold, set: fn(&mut MetricLimits, Range)| {
            let metric = threshold.metric.unwrap_or(main);
            set(given.entry(metric).or_insert_with(|| metric.default_limits()), threshold.range);
        };
        warning.iter().for_each(|threshold| limits(threshold, |limits, range| limits.warning = Some(range)));
        critical.iter().for_each(|threshold| limits(threshold, |limits, range| limits.critical = Some(range)));
        Self { given }
    }

    /// The limits of a metric.
    pub fn of(&self, metric: Metric) -> MetricLimits {
        self.given.get(&metric).copied().unwrap_or_else(|| metric.default_limits())
    }

    /// Those that were given and are not among the measured.
    pub fn unused(&self, measured: impl Fn(Metric) -> bool) -> Vec<Metric> {
        self.given.keys().copied().filter(|metric| !measured(*metric)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_for_the_named_value_or_the_main_one() {
        let read = |text: &str| text.parse::<Threshold>().expect("a threshold");
        let thresholds =
            Thresholds::new(&[read("30"), read("disk_free=50:")], &[read("nodes=2:")], Metric::OldestWaiting);
        let main = thresholds.of(Metric::OldestWaiting);
        assert_eq!(main, MetricLimits { warning: Some(Range::to(30.0)), critical: Some(Range::to(3_600.0)) });
        assert_eq!(thresholds.of(Metric::DiskFree).warning, Some(Range::at_least(50.0)));
        assert_eq!(thresholds.of(Metric::Nodes).critical, Some(Range::at_least(2.0)));
        assert_eq!(thresholds.of(Metric::Spool), Metric::Spool.default_limits());
        assert_eq!(thresholds.unused(|metric| metric == Metric::Nodes), [Metric::OldestWaiting, Metric::DiskFree]);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_one() {
        let error = "disc_free=1".parse::<Threshold>().expect_err("a misspelt name");
        assert!(error.contains("disk_free"), "{error}");
    }
}
