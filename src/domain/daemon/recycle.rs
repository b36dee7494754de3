//! When a daemon is to start itself anew: it is too old, or has grown too large.

use std::time::Duration;

use crate::domain::text::duration;

/// One that is too large from the beginning does not spend its time with starting.
const LEAST_AGE: Duration = Duration::from_secs(60);

/// What a daemon is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// How old it may be.
    pub age: Option<Duration>,
    /// How much memory it may have resident, in bytes.
    pub memory: Option<u64>,
}

/// Why a daemon of this age, with so many bytes of memory, is to start anew; none if it is not.
pub fn why(allowance: Allowance, age: Duration, memory: Option<u64>) -> Option<String> {
    if allowance.age.is_some_and(|limit| age >= limit) {
        return Some(format!("it has run for {}", duration::text(age)));
    }
    let (limit, memory) = (allowance.memory?, memory?);
    (memory > limit && age >= LEAST_AGE)
        .then(|| format!("it has {} MiB resident, and {} MiB are allowed", memory >> 20, limit >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_size_have_their_limits() {
        let hour = Duration::from_secs(3_600);
        let allowance = Allowance { age: Some(hour), memory: Some(100 << 20) };
        assert_eq!(why(allowance, hour / 2, Some(50 << 20)), None);
        assert_eq!(why(allowance, hour, Some(50 << 20)).as_deref(), Some("it has run for 1h"));
        let told = why(allowance, hour / 2, Some(101 << 20));
        assert_eq!(told.as_deref(), Some("it has 101 MiB resident, and 100 MiB are allowed"));
        assert_eq!(why(allowance, Duration::from_secs(5), Some(101 << 20)), None, "it has just begun");
        assert_eq!(why(allowance, hour / 2, None), None, "nobody knows how large it is");
        assert_eq!(why(Allowance::default(), hour * 1_000, Some(u64::MAX)), None);
    }
}
