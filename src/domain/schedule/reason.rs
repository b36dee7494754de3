//! Why an instant of a schedule did not start on time: typed values, and the one place that makes sentences of them.
//!
//! The ledger stores the values ([`columns`]) and no sentence. No rule reads a sentence, so every sentence may be
//! reworded at any time.

pub mod columns;

use std::{fmt, time::Duration};

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use sexton_entities::states::ReasonCode;

use crate::domain::text::duration;

/// An instant that no node entered for longer than this is missed.
pub const GRACE: TimeDelta = TimeDelta::seconds(60);
/// What a sentence says of an instant without a reason.
pub const ON_TIME: &str = "on time";

/// Why an instant did not start on time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its task was enqueued late.
    Late {
        /// How late it was when a node decided.
        by: TimeDelta,
    },
    /// No node entered it in time, and the schedule skips missed runs.
    Missed,
    /// It was missed together with at least `max` later ones.
    MissedMax {
        /// The setting `missed_max`.
        max: usize,
    },
    /// It was missed for too long.
    MissedAge {
        /// How late it was when a node decided.
        by: TimeDelta,
        /// The setting `missed_age`.
        limit: TimeDelta,
    },
    /// It was missed, and missed runs may start in a window only.
    MissedWindow {
        /// Start of the setting `run_missed_between`.
        from: NaiveTime,
        /// End of the setting `run_missed_between`, exclusive.
        to: NaiveTime,
        /// Time of day at which a node decided.
        at: NaiveTime,
        /// Time zone of all three.
        zone: String,
    },
    /// It was skipped because an earlier run was not finished.
    Overlap {
        /// The instant of that run.
        unfinished: DateTime<Utc>,
    },
    /// Its task waits for the earlier runs of its schedule.
    Queued {
        /// The instant of the oldest run that was not finished.
        unfinished: DateTime<Utc>,
        /// How late it was when a node decided. `None` if it was on time.
        late_by: Option<TimeDelta>,
    },
    /// A later instant runs in its place.
    Coalesced {
        /// That later instant.
        into: DateTime<Utc>,
    },
    /// Its task waits until the period begins.
    Held {
        /// When the period begins.
        until: DateTime<Utc>,
        /// Name of the period.
        period: String,
    },
    /// It was skipped because it is outside the period.
    OutsidePeriod {
        /// Name of the period.
        period: String,
    },
    /// It was skipped because the schedule is paused.
    Paused,
    /// The database refused its task, or the ledger has no typed reason.
    Other {
        /// What the database answered, or an earlier version wrote. It is shown, and never interpreted.
        text: Option<String>,
    },
}

/// Earlier instants without an entry of their own for which an entry of the ledger also accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandsFor {
    /// Their number, at least 1.
    pub count: usize,
    /// There are more than `count` of them: counting stopped there.
    pub is_more: bool,
}

impl Reason {
    /// The stored word.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Late { .. } => ReasonCode::Late,
            Self::Missed => ReasonCode::Missed,
            Self::MissedMax { .. } => ReasonCode::MissedMax,
            Self::MissedAge { .. } => ReasonCode::MissedAge,
            Self::MissedWindow { .. } => ReasonCode::MissedWindow,
            Self::Overlap { .. } => ReasonCode::Overlap,
            Self::Queued { .. } => ReasonCode::Queued,
            Self::Coalesced { .. } => ReasonCode::Coalesced,
            Self::Held { .. } => ReasonCode::Held,
            Self::OutsidePeriod { .. } => ReasonCode::OutsidePeriod,
            Self::Paused => ReasonCode::Paused,
            Self::Other { .. } => ReasonCode::Other,
        }
    }

    /// The reason of an instant that waits for an unfinished run. What holds an instant back for longer stays its reason.
    pub fn queued_behind(unfinished: DateTime<Utc>, reason: Option<Self>) -> Self {
        match reason {
            Some(held @ Self::Held { .. }) => held,
            Some(Self::Late { by }) => Self::Queued { unfinished, late_by: Some(by) },
            _ => Self::Queued { unfinished, late_by: None },
        }
    }

    /// Whether the instant is outside the period of its schedule.
    pub fn is_outside_period(&self) -> bool {
        matches!(self, Self::Held { .. } | Self::OutsidePeriod { .. })
    }
}

impl fmt::Display for Reason {
    /// The sentence for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { by } => lateness(f, *by),
            Self::Missed => f.write_str("missed: no node entered it in time, and the schedule skips missed runs"),
            Self::MissedMax { max: 1 } => f.write_str("missed: only the latest missed run is made up for"),
            Self::MissedMax { max } => write!(f, "missed: only the latest {max} missed runs are made up for"),
            Self::MissedAge { by, limit } => {
                write!(f, "missed: {} late, and at most {} is allowed", whole(*by), duration::text(length(*limit)))
            }
            Self::MissedWindow { from, to, at, zone } => {
                let [from, to, at] = [from, to, at].map(|time| time.format("%H:%M"));
                write!(f, "missed: {at} is outside the window {from}-{to} {zone}")
            }
            Self::Overlap { unfinished } => write!(f, "the run of {} is not finished", shown(*unfinished)),
            Self::Queued { unfinished, late_by } => {
                write!(f, "queued behind the run of {}", shown(*unfinished))?;
                late_by.map_or(Ok(()), |by| {
                    f.write_str("; ")?;
                    lateness(f, by)
                })
            }
            Self::Coalesced { into } => write!(f, "coalesced into the run of {}", shown(*into)),
            Self::Held { until, period } => write!(f, "held until {}: outside period {period}", shown(*until)),
            Self::OutsidePeriod { period } => write!(f, "outside period {period}"),
            Self::Paused => f.write_str("the schedule is paused"),
            Self::Other { text } => f.write_str(text.as_deref().unwrap_or("no reason is on record")),
        }
    }
}

impl fmt::Display for StandsFor {
    /// For people, as the end of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.is_more { "more than " } else { "" };
        let plural = if self.count == 1 && !self.is_more { "" } else { "s" };
        write!(f, "stands for {more}{} earlier instant{plural}", self.count)
    }
}

/// The sentence of a whole entry; `None` if there is nothing to say because it started on time.
pub fn sentence(reason: Option<&Reason>, stands_for: Option<StandsFor>) -> Option<String> {
    let words = reason.map(ToString::to_string);
    match stands_for {
        None => words,
        Some(others) => Some(format!("{}; {others}", words.as_deref().unwrap_or(ON_TIME))),
    }
}

/// An instant, exact and as short as possible.
pub fn shown(at: DateTime<Utc>) -> String {
    let form = if at.timestamp_subsec_millis() == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    at.to_rfc3339_opts(form, true)
}

fn lateness(f: &mut fmt::Formatter<'_>, by: TimeDelta) -> fmt::Result {
    let cause = if by > GRACE { ": no node entered it in time" } else { "" };
    write!(f, "late by {}{cause}", whole(by))
}

fn length(delta: TimeDelta) -> Duration {
    delta.to_std().unwrap_or_default()
}

/// A length of time in whole seconds.
fn whole(delta: TimeDelta) -> String {
    duration::text(Duration::from_secs(length(delta).as_secs()))
}

#[cfg(test)]
pub(super) mod tests;
