//! The lower half of the store: the sessions with a database, and what applications do in it. The daemon's store is built
//! on it; both follow the rules of `src/store`.

pub mod cancel;
mod connect;
pub mod connection;
mod counters;
pub mod datagram;
pub mod deeds;
mod dependencies;
pub mod dialect;
pub mod enqueue;
pub mod error;
mod error_class;
pub mod events;
pub mod followers;
pub mod history;
pub mod isolated_faults;
pub mod row_decoding;
pub mod rows;
pub mod schedules;
pub mod selection;
mod transaction;
pub mod wait;
pub mod wakeup;
pub mod wakeup_address;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use self::{
    connection::Connection, counters::Counters, dialect::Dialect, isolated_faults::Isolated,
    wakeup_address::WakeupAddresses,
};
pub use self::{counters::Operation, error::StoreError};
use crate::principal::Principal;

/// A connected database with Sexton's tables, as an application uses it. Clones share one connection pool.
#[derive(Clone, Debug)]
pub struct TaskStore {
    /// The sessions.
    pub db: Connection,
    /// The dialect of their SQL.
    pub dialect: Dialect,
    counters: Arc<Counters>,
    /// In whose name it acts; `None` for the application that runs this process.
    principal: Option<Arc<Principal>>,
    /// The largest payload, in bytes.
    max_payload: Arc<AtomicU64>,
    wakeup_addresses: WakeupAddresses,
}

impl TaskStore {
    /// The connection pool, for the application's own transactions.
    pub fn connection(&self) -> &Connection {
        &self.db
    }

    /// The kind of database: `sqlite`, `postgres` or `mysql`.
    pub fn database(&self) -> &'static str {
        self.dialect.name()
    }

    /// The number of statements sent since the start, including begin and commit of transactions.
    pub fn statements(&self) -> u64 {
        self.db.sessions().statements()
    }

    /// How long the database took to answer statements, all together.
    pub fn statement_time(&self) -> Duration {
        self.db.sessions().statement_time()
    }

    /// Does some work, and counts it with its time.
    pub async fn timed<T>(&self, operation: Operation, work: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let done = work.await;
        self.counters.note(operation, begun.elapsed());
        done
    }

    /// How often each operation was done, and how long that took together.
    pub fn operations(&self) -> impl Iterator<Item = (Operation, u64, Duration)> {
        self.counters.operations()
    }

    /// The number of transactions that were repeated after a deadlock or a serialization failure.
    pub fn retried(&self) -> u64 {
        self.counters.retried.load(Ordering::Relaxed)
    }

    /// The largest payload that is enqueued and claimed, in bytes.
    pub fn max_payload(&self) -> u64 {
        self.max_payload.load(Ordering::Relaxed)
    }

    /// Changes the largest payload, for all clones.
    pub fn set_max_payload(&self, bytes: u64) {
        self.max_payload.store(bytes, Ordering::Relaxed);
    }

    /// What was isolated because it is bad.
    pub fn isolated(&self) -> &Isolated {
        &self.counters.isolated
    }

    /// Reads the database's time, which also proves that it answers.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn now(&self) -> Result<chrono::DateTime<chrono::Utc>, StoreError> {
        let row = self.one(&self.db, &format!("SELECT {} AS at", self.dialect.now()), []).await?;
        Ok(row.try_get("", "at")?)
    }

    /// A statement with its parameters, which are written `?`.
    pub fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.backend(), self.dialect.numbered(sql), values)
    }

    /// The kind of database, for SeaORM.
    pub fn backend(&self) -> DbBackend {
        self.dialect.backend()
    }

    /// Runs a statement. Returns the number of rows that it changed.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn run<C: ConnectionTrait>(
        &self,
        connection: &C,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        Ok(connection.execute_raw(self.statement(sql, values)).await?.rows_affected())
    }

    /// Runs a query. Returns all its rows.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn all<C: ConnectionTrait>(
        &self,
        connection: &C,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        Ok(connection.query_all_raw(self.statement(sql, values)).await?)
    }

    /// Runs a query that always returns a row.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn one<C: ConnectionTrait>(
        &self,
        connection: &C,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<QueryResult, StoreError> {
        let row = connection.query_one_raw(self.statement(sql, values)).await?;
        row.ok_or_else(|| StoreError::Refused(format!("the query returned no row: {sql}")))
    }
}
