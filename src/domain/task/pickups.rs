//! Tasks that take their nodes down: after `max_pickups` dead nodes in a row, a task is not started again.

use sexton_entities::states::{Outcome, Verdict};

use super::FinishedAttempt;
use crate::domain::text::plural::counted;

/// The limit where the configuration has none.
pub const DEFAULT_MAX_PICKUPS: i32 = 5;

/// Judges an attempt during which its node died. `before` is the number of attempts in a row before this one that ended
/// like that. The attempt at which `max_pickups` is reached is the last one: the task is discarded as crashed. The
/// attempts before it are released, and stay in the history as interrupted.
pub fn judge_dead_node(attempt: FinishedAttempt, before: i32, max_pickups: i32) -> FinishedAttempt {
    let mut judged = attempt;
    judged.report.node_died = true;
    match crash_reason(judged.error.as_deref().unwrap_or_default(), before, max_pickups) {
        None => judged,
        error => FinishedAttempt { outcome: Outcome::Crashed, verdict: Some(Verdict::Discarded), error, ..judged },
    }
}

/// Why a task is discarded after an attempt that ended because of `why`, with the death of its node; none if the limit is
/// not reached.
pub fn crash_reason(why: &str, before: i32, max_pickups: i32) -> Option<String> {
    let deaths = before.saturating_add(1);
    if deaths < max_pickups {
        return None;
    }
    let why = if why.is_empty() { String::new() } else { format!("{why}; ") };
    let count = counted(usize::try_from(deaths).unwrap_or_default(), "attempt");
    Some(format!("{why}its node died during {count} in a row, and max_pickups is {max_pickups}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::*;
    use crate::domain::task::ClaimedTask;

    fn judged(before: i32, max_pickups: i32) -> FinishedAttempt {
        let task = ClaimedTask::sample(7);
        let died = task.interrupted(&"n".into(), None, "the node died", DateTime::UNIX_EPOCH, Duration::ZERO);
        judge_dead_node(died, before, max_pickups)
    }

    #[test]
    fn a_task_is_picked_up_again_until_the_limit() {
        for before in 0..4 {
            let released = judged(before, 5);
            assert_eq!((released.outcome, released.verdict), (Outcome::Interrupted, Some(Verdict::Released)));
            assert!(released.report.node_died, "the store counts it");
            assert_eq!(released.error.as_deref(), Some("the node died"));
        }
        let last = judged(4, 5);
        assert_eq!((last.outcome, last.verdict), (Outcome::Crashed, Some(Verdict::Discarded)));
        let why = "the node died; its node died during 5 attempts in a row, and max_pickups is 5";
        assert_eq!(last.error.as_deref(), Some(why));
    }

    #[test]
    fn a_lower_limit_counts_at_once() {
        assert_eq!(judged(9, 5).outcome, Outcome::Crashed);
        assert_eq!(judged(0, 1).outcome, Outcome::Crashed);
        assert_eq!(judged(i32::MAX, 5).outcome, Outcome::Crashed);
    }
}
