//! When a task expires, and when it is on hold: no attempt begins from its expiry on, unless one has begun before.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::new_task::NewTask;

/// A longer time never ends.
const MOST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The earliest start of a task on hold.
pub const NEVER: DateTime<Utc> = match NaiveDate::from_ymd_opt(9_999, 12, 31) {
    Some(day) => day.and_time(NaiveTime::MIN).and_utc(),
    None => DateTime::<Utc>::MAX_UTC,
};

/// Whether a task with this earliest start is on hold: that instant is never meant to come.
pub fn is_on_hold(run_at: DateTime<Utc>) -> bool {
    run_at.year() >= 9_999
}

/// When a new task expires: at an instant, or a time after its enqueue. Both are absent if it does not.
pub fn of_new(task: &NewTask) -> (Option<DateTime<Utc>>, Option<Duration>) {
    let Some(expires) = task.expires.filter(|expires| *expires < MOST) else { return (task.expires_at, None) };
    match (task.expires_at, task.run_at) {
        (Some(at), _) => (Some(at), None),
        (None, Some(start)) => (after(start, expires), None),
        (None, None) => (None, Some((task.delay.unwrap_or_default() + expires).min(MOST))),
    }
}

/// The instant at which something expires that starts at `start`; none if that is never.
pub fn after(start: DateTime<Utc>, length: Duration) -> Option<DateTime<Utc>> {
    let at = start.checked_add_signed(TimeDelta::from_std(length.min(MOST)).ok()?)?;
    (!is_on_hold(at)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_task_expires_after_its_earliest_start() {
        let minute = Duration::from_secs(60);
        let task = || NewTask::new("a").expires(minute);
        assert_eq!(of_new(&NewTask::new("a")), (None, None));
        assert_eq!(of_new(&task()), (None, Some(minute)));
        assert_eq!(of_new(&task().delay(minute)), (None, Some(2 * minute)));
        let start = at("2026-11-21T10:00:00Z");
        assert_eq!(of_new(&task().run_at(start)), (Some(at("2026-11-21T10:01:00Z")), None));
        assert_eq!(of_new(&task().run_at(NEVER)), (None, None), "a task on hold does not expire");
        assert_eq!(of_new(&task().expires_at(start)), (Some(start), None));
        assert_eq!(of_new(&NewTask::new("a").expires(Duration::MAX)), (None, None));
    }
}
