//! The store: the only place with queries. One file is one concern, one function one intention.
//!
//! Transactions begin and end inside. What differs between the databases is in `dialect.rs`, `claim.rs` and the few
//! other files that `tests/tidy` lists.

mod adopt;
mod audit;
mod bounded;
mod cancel;
mod claim;
mod claim_conditions;
mod claimed_task;
mod cluster_queues;
mod connect;
mod connection;
mod daily;
mod dead_nodes;
mod dialect;
mod error;
mod error_class;
mod expiry;
mod finish;
mod finish_result;
mod future;
mod health;
mod history;
mod identity;
mod isolated_faults;
mod migrate;
mod missed_instants;
mod move_tasks;
mod nodes;
mod notices;
mod occurrences;
mod output;
mod overlap;
mod pause;
mod portions;
mod problems;
mod prune;
mod queues;
mod refused_finishes;
mod rescue;
mod retry;
mod row_decoding;
mod rows;
mod schedules;
mod schedules_ahead;
mod selection;
mod summary;
mod tasks;
mod transaction;
mod unknown;
mod unreadable_tasks;
mod wakeup;
mod why;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};

use self::dialect::Dialect;
pub use self::{
    adopt::Adoption,
    audit::{AuditFilter, Deed},
    cancel::CancelResult,
    claim::{ClaimResult, Peek},
    connection::{ConnectOptions, Connection, DatabaseTransaction, DropInRuntime},
    daily::DayFigures,
    error::StoreError,
    finish::OnStale,
    finish_result::Recorded,
    health::{HistoryOf, QueueBacklog},
    history::HistoryFilter,
    isolated_faults::Isolated,
    migrate::MigrationStatus,
    nodes::Heartbeat,
    notices::{HeldNotices, NewNotice, Tried},
    pause::PauseDetails,
    portions::{PortionResults, in_portions},
    problems::{ProblemChange, ProblemFilter},
    queues::QueueRow,
    rescue::{Rescue, RunningClaim},
    retry::{FinishedSelection, FinishedTasks},
    schedules::{Firing, ScheduleRow},
    selection::{SelectedTasks, TaskSelection},
    summary::{LastRun, SchedulePicture},
    tasks::{Enqueued, TaskFilter},
    unknown::UnknownName,
    wakeup::{Wakeup, WakeupListener},
};
use crate::{
    clock::{Clock, uptime},
    domain::identity::DatabaseId,
    principal::Principal,
};

/// A connected database with Sexton's tables. Clones share one connection pool.
#[derive(Clone, Debug)]
pub struct Store {
    db: Connection,
    dialect: Dialect,
    counters: Arc<Counters>,
    /// The identity of the database, once it was read.
    id: Arc<OnceLock<DatabaseId>>,
    /// In whose name it acts; `None` for the application that runs this process.
    principal: Option<Arc<Principal>>,
    /// The largest payload, in bytes.
    max_payload: Arc<AtomicU64>,
}

/// The store's own counters, since the start.
#[derive(Debug, Default)]
struct Counters {
    retried: AtomicU64,
    isolated: Isolated,
}

impl Store {
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

    /// Corrects a clock by the time of a database server. Without a server the machine's time is the only one, and a
    /// change of the wall clock counts at once.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_clock(&self, clock: &Clock) -> Result<(), StoreError> {
        if self.dialect.has_server() {
            let before = uptime();
            let database = self.now().await?;
            clock.correct(database, before + (uptime() - before) / 2);
        }
        Ok(())
    }

    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.backend(), self.dialect.numbered(sql), values)
    }

    fn backend(&self) -> DbBackend {
        self.dialect.backend()
    }

    /// Runs a statement. Returns the number of rows that it changed.
    async fn run<C: ConnectionTrait>(
        &self,
        connection: &C,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        Ok(connection.execute_raw(self.statement(sql, values)).await?.rows_affected())
    }

    /// Runs a query. Returns all its rows.
    async fn all<C: ConnectionTrait>(
        &self,
        connection: &C,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        Ok(connection.query_all_raw(self.statement(sql, values)).await?)
    }

    /// Runs a query that always returns a row.
    async fn one<C: ConnectionTrait>(
        &self,
        connection: &C,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<QueryResult, StoreError> {
        let row = connection.query_one_raw(self.statement(sql, values)).await?;
        row.ok_or_else(|| StoreError::Refused(format!("the query returned no row: {sql}")))
    }
}
