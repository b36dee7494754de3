//! The verdict: what follows for a task from the outcome of an attempt.

use std::time::Duration;

use sexton_entities::states::{Outcome, Verdict};

use super::retry::RetryPolicy;

/// What a handler wants to happen after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// What the retry policy says.
    #[default]
    Policy,
    /// No further attempt.
    Discard,
    /// This node cannot do the work at present: the task is given back, and the attempt is not counted.
    GiveBack,
    /// A next attempt after this delay: a snooze, unless the attempt was stopped.
    RetryAfter(Duration),
    /// What the retry policy says, but no next attempt before this delay.
    NotBefore(Duration),
}

/// What becomes of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict; none if the attempt had lost its task.
    pub verdict: Option<Verdict>,
    /// For `Retry`: the delay before the next attempt.
    pub delay: Duration,
}

/// Draws the verdict from an outcome. `attempt` counts from 1; `chance` is a random number from 0 to 1.
pub fn judge(
    outcome: Outcome,
    wish: Wish,
    attempt: i32,
    max_attempts: i32,
    policy: &RetryPolicy,
    chance: f64,
) -> Judgement {
    let plain = |verdict| Judgement { verdict: Some(verdict), delay: Duration::ZERO };
    match outcome {
        Outcome::Succeeded => plain(Verdict::Completed),
        Outcome::Cancelled => plain(Verdict::Cancelled),
        Outcome::Interrupted => plain(Verdict::Released),
        Outcome::Snoozed => {
            let delay = if let Wish::RetryAfter(delay) = wish { delay } else { policy.delay_after(attempt, chance) };
            Judgement { verdict: Some(Verdict::Retry), delay }
        }
        Outcome::Superseded | Outcome::Skipped => Judgement { verdict: None, delay: Duration::ZERO },
        Outcome::Failed | Outcome::TimedOut | Outcome::Crashed => match wish {
            Wish::Discard => plain(Verdict::Discarded),
            _ if attempt >= max_attempts => plain(Verdict::Discarded),
            Wish::RetryAfter(delay) => Judgement { verdict: Some(Verdict::Retry), delay },
            Wish::NotBefore(delay) => {
                let delay = policy.delay_after(attempt, chance).max(delay);
                Judgement { verdict: Some(Verdict::Retry), delay }
            }
            Wish::Policy | Wish::GiveBack => {
                Judgement { verdict: Some(Verdict::Retry), delay: policy.delay_after(attempt, chance) }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: Outcome, wish: Wish, attempt: i32, max_attempts: i32) -> Option<Verdict> {
        judge(outcome, wish, attempt, max_attempts, &RetryPolicy::default(), 0.5).verdict
    }

    #[test]
    fn a_time_before_which_nothing_follows_makes_the_delay_longer_only() {
        let policy = RetryPolicy::default();
        let judged = |wait| judge(Outcome::Failed, Wish::NotBefore(wait), 1, 2, &policy, 0.0);
        assert_eq!(judged(Duration::ZERO).delay, policy.delay_after(1, 0.0));
        assert_eq!(judged(Duration::from_secs(7_200)).delay, Duration::from_secs(7_200));
        assert_eq!(verdict(Outcome::Failed, Wish::NotBefore(Duration::ZERO), 2, 2), Some(Verdict::Discarded));
    }

    #[test]
    fn failures_are_retried_up_to_the_limit() {
        for outcome in [Outcome::Failed, Outcome::TimedOut, Outcome::Crashed] {
            assert_eq!(verdict(outcome, Wish::Policy, 1, 3), Some(Verdict::Retry));
            assert_eq!(verdict(outcome, Wish::Policy, 3, 3), Some(Verdict::Discarded));
            assert_eq!(verdict(outcome, Wish::RetryAfter(Duration::ZERO), 3, 3), Some(Verdict::Discarded));
            assert_eq!(verdict(outcome, Wish::Discard, 1, 3), Some(Verdict::Discarded));
        }
    }

    #[test]
    fn interruptions_never_use_up_a_task() {
        assert_eq!(verdict(Outcome::Interrupted, Wish::Discard, 9, 1), Some(Verdict::Released));
    }

    #[test]
    fn the_delay_of_the_handler_is_kept() {
        let wish = Wish::RetryAfter(Duration::from_secs(7));
        assert_eq!(judge(Outcome::Failed, wish, 1, 2, &RetryPolicy::default(), 0.5).delay, Duration::from_secs(7));
    }

    #[test]
    fn a_snooze_uses_up_no_attempt() {
        let wish = Wish::RetryAfter(Duration::from_secs(7));
        let snoozed = judge(Outcome::Snoozed, wish, 1, 1, &RetryPolicy::default(), 0.5);
        assert_eq!(snoozed, Judgement { verdict: Some(Verdict::Retry), delay: Duration::from_secs(7) });
    }

    #[test]
    fn every_outcome_has_its_verdict() {
        for outcome in Outcome::ALL {
            let decides = !matches!(outcome, Outcome::Superseded | Outcome::Skipped);
            assert_eq!(verdict(*outcome, Wish::Policy, 1, 1).is_some(), decides, "{outcome}");
        }
    }
}
