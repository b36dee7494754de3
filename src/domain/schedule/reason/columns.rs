//! A reason as the columns of the ledger hold it. `docs/SQL.md` says which columns go with which code.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::Serialize;
use sexton_entities::{
    occurrence,
    states::{Fate, ReasonCode},
};

use super::{Reason, StandsFor};

/// The columns of `sexton_occurrence` that hold a reason; `occurrence::Model` describes each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the columns of `occurrence::Model`")]
pub struct ReasonColumns {
    pub reason_code: Option<ReasonCode>,
    pub late_ms: Option<i64>,
    pub coalesced_into: Option<DateTime<Utc>>,
    pub held_until: Option<DateTime<Utc>>,
    pub period: Option<String>,
    pub blocked_by: Option<DateTime<Utc>>,
    pub missed_max: Option<i64>,
    pub missed_age_ms: Option<i64>,
    pub window_from: Option<NaiveTime>,
    pub window_to: Option<NaiveTime>,
    pub window_at: Option<NaiveTime>,
    pub window_timezone: Option<String>,
}

impl ReasonColumns {
    /// The columns that hold a reason. An instant that starts on time has none.
    pub fn of(reason: Option<&Reason>) -> Self {
        let Some(reason) = reason else { return Self::default() };
        let code = Self { reason_code: Some(reason.code()), ..Self::default() };
        match reason {
            Reason::Missed | Reason::Paused | Reason::Other { .. } => code,
            Reason::Late { by } => Self { late_ms: millis(*by), ..code },
            Reason::MissedMax { max } => Self { missed_max: i64::try_from(*max).ok(), ..code },
            Reason::MissedAge { by, limit } => Self { late_ms: millis(*by), missed_age_ms: millis(*limit), ..code },
            Reason::MissedWindow { from, to, at, zone } => Self {
                window_from: Some(*from),
                window_to: Some(*to),
                window_at: Some(*at),
                window_timezone: Some(zone.clone()),
                ..code
            },
            Reason::Overlap { unfinished } => Self { blocked_by: Some(*unfinished), ..code },
            Reason::Queued { unfinished, late_by } => {
                Self { blocked_by: Some(*unfinished), late_ms: late_by.and_then(millis), ..code }
            }
            Reason::Coalesced { into } => Self { coalesced_into: Some(*into), ..code },
            Reason::Held { until, period } => Self { held_until: Some(*until), period: Some(period.clone()), ..code },
            Reason::OutsidePeriod { period } => Self { period: Some(period.clone()), ..code },
        }
    }

    /// The reason that the columns hold; `None` if they hold none, or not all values that their code needs.
    fn reason(&self) -> Option<Reason> {
        Some(match self.reason_code? {
            ReasonCode::Late => Reason::Late { by: delta(self.late_ms?) },
            ReasonCode::Missed => Reason::Missed,
            ReasonCode::MissedMax => Reason::MissedMax { max: usize::try_from(self.missed_max?).ok()? },
            ReasonCode::MissedAge => Reason::MissedAge { by: delta(self.late_ms?), limit: delta(self.missed_age_ms?) },
            ReasonCode::MissedWindow => Reason::MissedWindow {
                from: self.window_from?,
                to: self.window_to?,
                at: self.window_at?,
                zone: self.window_timezone.clone()?,
            },
            ReasonCode::Overlap => Reason::Overlap { unfinished: self.blocked_by? },
            ReasonCode::Queued => Reason::Queued { unfinished: self.blocked_by?, late_by: self.late_ms.map(delta) },
            ReasonCode::Coalesced => Reason::Coalesced { into: self.coalesced_into? },
            ReasonCode::Held => Reason::Held { until: self.held_until?, period: self.period.clone()? },
            ReasonCode::OutsidePeriod => Reason::OutsidePeriod { period: self.period.clone()? },
            ReasonCode::Paused => Reason::Paused,
            ReasonCode::Other => return None,
        })
    }
}

impl From<&occurrence::Model> for ReasonColumns {
    fn from(entry: &occurrence::Model) -> Self {
        Self {
            reason_code: entry.reason_code,
            late_ms: entry.late_ms,
            coalesced_into: entry.coalesced_into,
            held_until: entry.held_until,
            period: entry.period.clone(),
            blocked_by: entry.blocked_by,
            missed_max: entry.missed_max,
            missed_age_ms: entry.missed_age_ms,
            window_from: entry.window_from,
            window_to: entry.window_to,
            window_at: entry.window_at,
            window_timezone: entry.window_timezone.clone(),
        }
    }
}

impl Reason {
    /// The reason of an entry of the ledger; `None` if its instant started on time.
    pub fn of(entry: &occurrence::Model) -> Option<Self> {
        let is_on_time = entry.fate == Fate::Fired && entry.reason_code.is_none() && entry.reason.is_none();
        (!is_on_time).then(|| {
            let typed = ReasonColumns::from(entry).reason();
            typed.unwrap_or_else(|| Self::Other { text: entry.reason.clone() })
        })
    }
}

impl StandsFor {
    /// The earlier instants for which an entry of the ledger also accounts; `None` if there are none.
    pub fn of(entry: &occurrence::Model) -> Option<Self> {
        let count = usize::try_from(entry.stands_for).ok().filter(|count| *count > 0)?;
        Some(Self { count, is_more: entry.stands_for_more })
    }
}

/// Whole milliseconds, rounded up: a lateness beyond the grace period stays beyond it.
fn millis(delta: TimeDelta) -> Option<i64> {
    let whole = delta.num_milliseconds();
    whole.checked_add(i64::from(TimeDelta::try_milliseconds(whole).is_some_and(|whole| whole < delta)))
}

fn delta(millis: i64) -> TimeDelta {
    TimeDelta::try_milliseconds(millis).unwrap_or_default()
}
