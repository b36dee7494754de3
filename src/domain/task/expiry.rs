//! When a task expires: from then on no attempt begins, unless one has begun before.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{NewTask, is_on_hold};
use crate::domain::schedule::reason::GRACE;

/// A longer time never ends.
const MOST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// When a new task expires: at an instant, or a time after its enqueue. Both are absent if it does not.
pub fn of_new(task: &NewTask) -> (Option<DateTime<Utc>>, Option<Duration>) {
    let Some(expires) = task.expires.filter(|expires| *expires < MOST) else { return (task.expires_at, None) };
    match (task.expires_at, task.run_at) {
        (Some(at), _) => (Some(at), None),
        (None, Some(start)) => (after(start, expires), None),
        (None, None) => (None, Some((task.delay.unwrap_or_default() + expires).min(MOST))),
    }
}

/// When the task of an instant `due_at` expires that is enqueued `now` and may start at `start`: by the setting `expires`
/// of its definition, and by the setting `missed_age` of its schedule.
pub fn of_instant(
    due_at: DateTime<Utc>,
    start: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    expires: Option<Duration>,
    missed_age: Option<Duration>,
) -> Option<DateTime<Utc>> {
    let by_expires = expires.and_then(|expires| after(start.unwrap_or(now).max(now), expires));
    // An instant that a node enters within the grace time is not missed, whatever its age.
    let grace = GRACE.to_std().unwrap_or_default();
    let by_age = missed_age.and_then(|age| after(start.unwrap_or(due_at).max(due_at), age.max(grace)));
    [by_expires, by_age].into_iter().flatten().min()
}

fn after(start: DateTime<Utc>, length: Duration) -> Option<DateTime<Utc>> {
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
        assert_eq!(of_new(&task().run_at(super::super::NEVER)), (None, None), "a task on hold does not expire");
        assert_eq!(of_new(&task().expires_at(start)), (Some(start), None));
        assert_eq!(of_new(&NewTask::new("a").expires(Duration::MAX)), (None, None));
    }

    #[test]
    fn an_instant_expires_by_its_age_or_after_its_start() {
        let (due, now) = (at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:30Z"));
        let (minute, hour) = (Some(Duration::from_secs(60)), Some(Duration::from_secs(3_600)));
        assert_eq!(of_instant(due, None, now, None, None), None);
        assert_eq!(of_instant(due, None, now, minute, hour), Some(at("2026-11-21T10:01:30Z")));
        assert_eq!(of_instant(due, None, now, None, hour), Some(at("2026-11-21T11:00:00Z")));
        let held = Some(at("2026-11-21T12:00:00Z"));
        assert_eq!(
            of_instant(due, held, now, None, hour),
            Some(at("2026-11-21T13:00:00Z")),
            "it counts from the period"
        );
        let short = Some(Duration::from_secs(1));
        assert_eq!(
            of_instant(due, None, now, None, short),
            Some(at("2026-11-21T10:01:00Z")),
            "not before it is missed"
        );
    }
}
