//! Connecting: a store on a database that may not answer yet.

use std::{sync::Arc, time::Duration};

use sexton_client::store::TaskStore;

use super::{ConnectOptions, Store, StoreError};

impl Store {
    /// Prepares the pool. No connection is opened yet, so this succeeds while the database is down.
    ///
    /// # Errors
    /// If the URL is invalid, or the directory of the SQLite file cannot be created.
    pub fn connect(options: &ConnectOptions) -> Result<Self, StoreError> {
        Ok(Self { tasks: TaskStore::connect(options)?, id: Arc::default(), problems_noted: Arc::default() })
    }

    /// The same database through a connection of its own, beside the pool: what must not wait for others uses it.
    /// Everything in it takes at most `limit`.
    pub fn dedicated(&self, limit: Duration) -> Self {
        Self { tasks: self.tasks.dedicated(limit), ..self.clone() }
    }

    /// Opens a connection beside the pool, to find the cause of a failure.
    ///
    /// # Errors
    /// If the URL is invalid, or the server does not accept a connection within `acquire_timeout`.
    pub async fn probe(options: &ConnectOptions) -> Result<(), StoreError> {
        TaskStore::probe(options).await
    }
}
