//! When the task of an instant expires: from then on no attempt begins, unless one has begun before.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sexton_client::domain::expiry::after;

use crate::domain::schedule::reason::GRACE;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
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
