//! What claims have found of rates: queues that wait for a token, and rates that do not count.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    daemon::state::rate_waits::RateWaits,
    domain::{
        identity::QueueName,
        task::rate::{BucketName, StricterRate},
    },
    store::ClaimResult,
};

/// When each queue has a token again.
pub(super) struct TokenWaits {
    waits: RateWaits,
    told: BTreeMap<BucketName, StricterRate>,
}

impl TokenWaits {
    pub(super) fn new(waits: RateWaits) -> Self {
        Self { waits, told: BTreeMap::new() }
    }

    /// Notes what a claim from a queue has found. Logs a rate that does not count, once.
    pub(super) fn note(&mut self, queue: &QueueName, claimed: &ClaimResult) {
        self.waits.note(queue, claimed.next_token);
        for stricter in &claimed.stricter {
            if self.told.get(&stricter.bucket) != Some(stricter) {
                tracing::warn!("{stricter}");
                self.told.insert(stricter.bucket.clone(), stricter.clone());
            }
        }
    }

    /// Whether a token has come for a queue that waited for it.
    pub(super) fn is_due(&self, queue: &QueueName) -> bool {
        self.waits.is_due(queue)
    }

    /// How long until the next token comes.
    pub(super) fn until_next(&self) -> Option<Duration> {
        self.waits.until_next()
    }
}
