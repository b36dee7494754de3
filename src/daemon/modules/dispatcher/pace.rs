//! How long the dispatcher rests between two polls, if nothing wakes it.

use std::time::Duration;

/// For this long after the last task it polls at the poll interval, then less often.
const LIVELY: Duration = Duration::from_secs(10);
/// Where nobody wakes the node, it polls after this part of the time since it last found a task, at the least after this
/// part of the poll interval.
const PACE: u32 = 4;
const LIVELY_DIVISOR: u32 = 10;
/// The factor of the poll interval when nothing has come for long. Where enqueues by other processes wake the node, it counts as soon
/// as the node is not lively any more.
const IDLE_FACTOR: u32 = 48;

/// The rest before the next poll. `found` and `claimed` say how long ago tasks were last found and claimed.
pub(super) fn rest(
    interval: Duration,
    (found, claimed): (Option<Duration>, Option<Duration>),
    hears_other_processes: bool,
) -> Duration {
    let is_lively = found.is_some_and(|found| found < LIVELY);
    let pace = |since: Option<Duration>| since.map_or(Duration::MAX, |since| since / PACE);
    match (is_lively, hears_other_processes) {
        (true, true) => interval,
        // Where tasks come closely, the next one is met soon.
        (true, false) => pace(claimed).clamp(interval / LIVELY_DIVISOR, interval),
        (false, false) => pace(found).clamp(interval, interval * IDLE_FACTOR),
        (false, true) => interval * IDLE_FACTOR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(250);

    #[test]
    fn polls_become_rarer_while_nothing_comes() {
        let after = |seconds: u64, hears| {
            let since = Some(Duration::from_secs(seconds));
            rest(INTERVAL, (since, since), hears)
        };
        assert_eq!(after(5, true), INTERVAL);
        assert_eq!(after(5, false), INTERVAL);
        assert_eq!(after(20, false), Duration::from_secs(5));
        assert_eq!(after(3_600, false), INTERVAL * IDLE_FACTOR);
        assert_eq!(after(20, true), INTERVAL * IDLE_FACTOR);
        assert_eq!(rest(INTERVAL, (None, None), false), INTERVAL * IDLE_FACTOR);
    }

    #[test]
    fn the_next_of_many_tasks_is_met_soon() {
        let now = Some(Duration::ZERO);
        assert_eq!(rest(INTERVAL, (now, now), false), INTERVAL / LIVELY_DIVISOR);
        assert_eq!(rest(INTERVAL, (now, Some(Duration::from_millis(400))), false), Duration::from_millis(100));
    }
}
