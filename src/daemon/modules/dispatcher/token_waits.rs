//! Queues with tasks that wait for a token of a rate, and when it comes.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use crate::{
    domain::{
        identity::QueueName,
        task::rate::{BucketName, StricterRate},
    },
    store::ClaimResult,
};

/// When each queue has a token again.
#[derive(Default)]
pub(super) struct TokenWaits {
    until: HashMap<QueueName, Instant>,
    told: BTreeMap<BucketName, StricterRate>,
}

impl TokenWaits {
    /// Notes what a claim from a queue has found. Logs a rate that does not count, once.
    pub(super) fn note(&mut self, queue: &QueueName, claimed: &ClaimResult) {
        match claimed.next_token {
            Some(wait) => self.until.insert(queue.clone(), Instant::now() + wait),
            None => self.until.remove(queue),
        };
        for stricter in &claimed.stricter {
            if self.told.get(&stricter.bucket) != Some(stricter) {
                tracing::warn!("{stricter}");
                self.told.insert(stricter.bucket.clone(), stricter.clone());
            }
        }
    }

    /// Whether a token has come for a queue that waited for it.
    pub(super) fn is_due(&self, queue: &QueueName) -> bool {
        self.until.get(queue).is_some_and(|until| *until <= Instant::now())
    }

    /// How long until the next token comes. One that has come waits for a free worker, which wakes the module.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let now = Instant::now();
        self.until.values().filter(|until| **until > now).min().map(|until| *until - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_has_come_is_no_reason_to_wake_again() {
        let mut waits = TokenWaits::default();
        let (now, later) = (QueueName::from("now"), QueueName::from("later"));
        let in_time = |wait| ClaimResult { next_token: Some(wait), ..ClaimResult::default() };
        waits.note(&now, &in_time(Duration::ZERO));
        assert!(waits.is_due(&now) && waits.until_next().is_none());
        waits.note(&later, &in_time(Duration::from_secs(600)));
        assert!(!waits.is_due(&later) && waits.until_next().is_some_and(|wait| wait > Duration::from_secs(60)));
        waits.note(&later, &ClaimResult::default());
        assert!(waits.until_next().is_none(), "nothing is kept back any more");
    }
}
