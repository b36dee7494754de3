//! A schedule as TOML that can be read back.

use toml::{Table, Value};

use super::toml_values::{length, table};
use crate::domain::{
    schedule::{
        Schedule,
        recurrence::{Follows, Recurrence},
        weekly::{self, DayTimes},
        zone::Dst,
    },
    text::duration,
};

/// The list of its recurrences.
pub(super) fn show(schedule: &Schedule) -> Value {
    let jitter = schedule.jitter.map(|jitter| ("jitter".to_owned(), length(jitter)));
    let one = |rule| {
        let mut shown = recurrence(rule);
        shown.extend(jitter.clone());
        Value::from(shown)
    };
    schedule.recurrences.iter().map(one).collect::<Vec<_>>().into()
}

fn recurrence(rule: &Recurrence) -> Table {
    let every = |interval| ("every", duration::text(interval).into());
    let (mut shown, dst) = match rule {
        Recurrence::Cron { expr, dst, .. } => (table([("cron", expr.to_string().into())]), *dst),
        Recurrence::Every(interval) => (table([every(*interval)]), Dst::default()),
        Recurrence::EveryFrom { interval, anchor, .. } => {
            (table([every(*interval), ("anchor", anchor.to_string().into())]), Dst::default())
        }
        Recurrence::After(Follows { schedules, required }) => {
            let shown = [("after", schedules.clone().into()), ("when", required.as_str().into())];
            (table(shown), Dst::default())
        }
        Recurrence::At { moment, .. } => (table([("at", moment.to_string().into())]), Dst::default()),
        Recurrence::Weekly { weekly, dst, .. } => {
            let days = Value::from(weekly.days.names());
            let shown = match &weekly.times {
                DayTimes::At(time) => table([("week_days", days), ("time", weekly::shown(*time).into())]),
                DayTimes::Grid { hours, minutes } => {
                    table([("days", days), ("hours", numbers(hours)), ("minutes", numbers(minutes))])
                }
            };
            (shown, *dst)
        }
    };
    shown.extend(rule.zone().map(|zone| ("timezone".to_owned(), zone.name().into())));
    if dst != Dst::default() {
        shown.insert("dst".into(), dst.word().into());
    }
    shown
}

fn numbers(numbers: &[u16]) -> Value {
    numbers.iter().map(|number| i64::from(*number)).collect::<Vec<_>>().into()
}
