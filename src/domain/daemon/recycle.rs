//! When the daemon recycles itself: after a time, or at a memory size.

use std::time::Duration;

use crate::domain::text::duration;

/// A daemon that is too large from the start is not recycled before this age, so that it does some work in between.
const MIN_AGE: Duration = Duration::from_secs(60);

/// The limits from which on a daemon is recycled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecycleLimits {
    /// Maximum age (`daemon.max_age`).
    pub age: Option<Duration>,
    /// Maximum resident memory in bytes (`daemon.max_memory`).
    pub memory: Option<u64>,
}

/// Why a daemon of this age and memory (in bytes, if known) is recycled; none if it is not.
pub fn recycle_reason(limits: RecycleLimits, age: Duration, memory: Option<u64>) -> Option<String> {
    if limits.age.is_some_and(|limit| age >= limit) {
        return Some(format!("it has run for {}", duration::text(age)));
    }
    let (limit, memory) = (limits.memory?, memory?);
    (memory > limit && age >= MIN_AGE)
        .then(|| format!("it has {} MiB resident, more than the allowed {} MiB", memory >> 20, limit >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_size_have_their_limits() {
        let hour = Duration::from_secs(3_600);
        let limits = RecycleLimits { age: Some(hour), memory: Some(100 << 20) };
        assert_eq!(recycle_reason(limits, hour / 2, Some(50 << 20)), None);
        assert_eq!(recycle_reason(limits, hour, Some(50 << 20)).as_deref(), Some("it has run for 1h"));
        let reason = recycle_reason(limits, hour / 2, Some(101 << 20));
        assert_eq!(reason.as_deref(), Some("it has 101 MiB resident, more than the allowed 100 MiB"));
        assert_eq!(recycle_reason(limits, Duration::from_secs(5), Some(101 << 20)), None, "it has just begun");
        assert_eq!(recycle_reason(limits, hour / 2, None), None, "the memory is unknown");
        assert_eq!(recycle_reason(RecycleLimits::default(), hour * 1_000, Some(u64::MAX)), None);
    }
}
