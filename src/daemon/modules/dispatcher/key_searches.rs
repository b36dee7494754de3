//! The limit keys of tasks, which are found before a claim.

use std::collections::HashMap;

use crate::{
    domain::{identity::QueueName, task::limits::ConcurrencyLimits},
    store::{KeySearch, Store, StoreError},
};

/// How far this node has looked, by queue.
#[derive(Default)]
pub(super) struct KeySearches(HashMap<QueueName, KeySearch>);

impl KeySearches {
    /// Sets the keys of tasks of that queue, if its tasks need any.
    pub(super) async fn go_on(
        &mut self,
        store: &Store,
        limits: &ConcurrencyLimits,
        queue: &QueueName,
    ) -> Result<(), StoreError> {
        match limits.keys().apply_to(queue) {
            true => store.set_limit_keys(limits.keys(), queue, self.0.entry(queue.clone()).or_default()).await,
            false => Ok(()),
        }
    }
}
