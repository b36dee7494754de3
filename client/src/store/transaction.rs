//! Transactions, and their repetition after a conflict.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use sea_orm::TransactionTrait;

use super::{StoreError, TaskStore, connection::DatabaseTransaction};

/// The maximum number of times that one piece of work is tried.
const MAX_TRIES: u32 = 8;

impl TaskStore {
    /// Does `work`, and repeats it after a deadlock, a serialization failure or a busy file.
    pub async fn with_retries<T>(&self, mut work: impl AsyncFnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut tries = 0;
        let started = Instant::now();
        let patience = self.db.sessions().statement_timeout();
        loop {
            match work().await {
                // A conflict may be the end of a long wait for a lock: all tries together take hardly longer than one.
                Err(StoreError::Conflict(_)) if tries + 1 < MAX_TRIES && started.elapsed() < patience / 2 => {
                    tries += 1;
                    self.counters.retried.fetch_add(1, Ordering::Relaxed);
                    let pause = 2u64.pow(tries) * 2;
                    tokio::time::sleep(Duration::from_millis(pause + fastrand::u64(0..=pause))).await;
                }
                result => return result,
            }
        }
    }

    /// Begins a transaction. On SQLite it takes the write lock at once: a transaction that reads first and writes later
    /// fails as soon as another process has written in between.
    pub async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        Ok(self.db.begin().await?)
    }

    /// Commits a transaction. A commit may fail with a conflict: Galera reports a lost race only here.
    pub async fn commit(&self, transaction: DatabaseTransaction) -> Result<(), StoreError> {
        Ok(transaction.commit().await?)
    }
}
