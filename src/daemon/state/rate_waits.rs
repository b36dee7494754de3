//! Queues with tasks that wait for a token of a rate, and when it comes.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::domain::{identity::QueueName, task::waiting::whole};

/// A queue whose next task waits for a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateWait {
    /// Its name.
    pub queue: String,
    /// The time until the next task may begin, in milliseconds.
    pub next_ms: u64,
}

impl RateWait {
    /// For people, as the end of a sentence about the queue.
    pub fn words(&self) -> String {
        format!("has used up a rate: the next task may begin in {}", whole(Duration::from_millis(self.next_ms)))
    }
}

/// When each queue has a token again, as the dispatcher last saw it. Clones share it.
#[derive(Clone, Default)]
pub struct RateWaits(Arc<Mutex<BTreeMap<QueueName, Instant>>>);

impl RateWaits {
    /// Notes how long a queue waits; none if it does not.
    pub(in crate::daemon) fn note(&self, queue: &QueueName, wait: Option<Duration>) {
        let mut waits = self.0.lock();
        match wait {
            Some(wait) => waits.insert(queue.clone(), Instant::now() + wait),
            None => waits.remove(queue),
        };
    }

    /// Whether a token has come for a queue that waited for it.
    pub(in crate::daemon) fn is_due(&self, queue: &QueueName) -> bool {
        self.0.lock().get(queue).is_some_and(|until| *until <= Instant::now())
    }

    /// The queues whose token has not come yet, by name.
    pub(in crate::daemon) fn all(&self) -> Vec<RateWait> {
        let now = Instant::now();
        let millis = |until: &Instant| u64::try_from((*until - now).as_millis()).unwrap_or(u64::MAX);
        let waits = self.0.lock();
        let last = waits.iter().filter(|(_, until)| **until > now);
        last.map(|(queue, until)| RateWait { queue: queue.to_string(), next_ms: millis(until) }).collect()
    }

    /// How long until the next token comes. One that has come waits for a free worker, which wakes the dispatcher.
    pub(in crate::daemon) fn until_next(&self) -> Option<Duration> {
        let now = Instant::now();
        self.0.lock().values().filter(|until| **until > now).min().map(|until| *until - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_has_come_is_no_reason_to_wake_again() {
        let waits = RateWaits::default();
        let (now, later) = (QueueName::from("now"), QueueName::from("later"));
        waits.note(&now, Some(Duration::ZERO));
        assert!(waits.is_due(&now) && waits.until_next().is_none() && waits.all().is_empty());
        waits.note(&later, Some(Duration::from_secs(600)));
        assert!(!waits.is_due(&later) && waits.until_next().is_some_and(|wait| wait > Duration::from_secs(60)));
        let all = waits.all();
        assert_eq!((all.len(), all[0].queue.as_str()), (1, "later"));
        assert!(all[0].words().starts_with("has used up a rate: the next task may begin in "));
        waits.note(&later, None);
        assert!(waits.until_next().is_none(), "nothing is kept back any more");
    }
}
