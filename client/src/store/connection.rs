//! The connection to the database: a pool of sessions that may be used from any thread, and outlives every module.

mod binding;
mod borrowed;
pub(in crate::store) mod driver;
mod errors;
mod file;
mod hosts;
mod limits;
mod options;
mod pool;
mod session;
mod target;
mod transaction;
mod waits;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    TransactionError, TransactionOptions, TransactionTrait,
};

pub use self::{
    borrowed::{BorrowedConnection, SqlxConnection},
    driver::{DropInRuntime, on_driver},
    options::ConnectOptions,
    pool::SessionPool,
    target::Target,
    transaction::DatabaseTransaction,
};
use self::{
    errors::{Work, exec_error, query_error},
    pool::Loan,
};
use super::error::is_busy;

/// How long a statement waits for another process that writes to the SQLite file.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Sessions with the database. Clones share them.
#[derive(Clone, Debug)]
pub struct Connection {
    pool: Arc<SessionPool>,
    backend: DbBackend,
}

impl Connection {
    /// Sessions with a database, none of them open yet.
    #[doc(hidden)]
    pub fn new(target: Target, options: &ConnectOptions, backend: DbBackend) -> Self {
        Self { pool: SessionPool::new(target, options, Arc::default()), backend }
    }

    /// One session beside those of the pool, with this time limit for everything.
    pub fn dedicated(&self, limit: Duration) -> Self {
        Self { pool: self.pool.dedicated(limit), backend: self.backend }
    }

    /// The sessions.
    #[doc(hidden)]
    pub fn sessions(&self) -> &SessionPool {
        &self.pool
    }

    /// Opens a session if none is idle.
    ///
    /// # Errors
    /// If it cannot be opened, or no session is free.
    pub async fn reach(&self) -> Result<(), DbErr> {
        on_driver(async { self.lend().await.map(drop) }).await
    }

    async fn lend(&self) -> Result<Loan, DbErr> {
        self.pool.lend().await
    }

    async fn execute_once(&self, statement: &Statement) -> Result<ExecResult, DbErr> {
        self.pool.count_statement();
        if self.pool.target().is_pooled() {
            let transaction = self.begin_once(&self.pool.target().begin(&TransactionOptions::default())).await?;
            let result = transaction.execute_raw(statement.clone()).await?;
            return transaction.commit().await.map(|()| result);
        }
        self.lend().await?.execute(statement).await.map_err(exec_error)
    }

    async fn all_once(&self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.pool.count_statement();
        if self.pool.target().is_pooled() {
            let transaction = self.begin_once(&self.pool.target().begin(&TransactionOptions::default())).await?;
            let rows = transaction.query_all_raw(statement.clone()).await?;
            return transaction.commit().await.map(|()| rows);
        }
        self.lend().await?.all(statement).await.map_err(query_error)
    }

    async fn begin_once(&self, sql: &str) -> Result<DatabaseTransaction, DbErr> {
        DatabaseTransaction::begin_in(self.lend().await?, self.backend, sql).await
    }
}

/// Repeats a statement while another process writes to the SQLite file. SQLite's own wait checks the file less and less
/// often, in the end ten times a second, and would hardly ever find it free beside a process that writes all the time.
macro_rules! retry_while_busy {
    ($connection:ident, $work:expr) => {{
        let started = Instant::now();
        let patience = SQLITE_BUSY_TIMEOUT.min($connection.pool.statement_timeout());
        loop {
            match on_driver($work).await {
                Err(error) if is_busy(&error) => {
                    $connection.pool.waits().note_busy_file();
                    if started.elapsed() >= patience {
                        break Err(error);
                    }
                    tokio::time::sleep(Duration::from_micros(fastrand::u64(500..3_000))).await;
                }
                result => break result,
            }
        }
    }};
}

#[async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        retry_while_busy!(self, self.execute_once(&statement))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let set_schema = self.pool.target().set_schema();
        let sql = set_schema.map_or(sql.to_owned(), |set_schema| format!("{set_schema}; {sql}"));
        retry_while_busy!(self, async { self.lend().await?.batch(&sql).await.map_err(exec_error) })
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        retry_while_busy!(self, self.all_once(&statement))
    }
}

#[async_trait]
impl TransactionTrait for Connection {
    type Transaction = DatabaseTransaction;

    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.begin_with_options(TransactionOptions::default()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<DatabaseTransaction, DbErr> {
        self.begin_with_options(TransactionOptions { isolation_level, access_mode, ..Default::default() }).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        let sql = self.pool.target().begin(&options);
        retry_while_busy!(self, self.begin_once(&sql))
    }

    async fn transaction<F, T, E>(&self, work: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> Work<'c, T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.transaction_with_config(work, None, None).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        work: F,
        isolation: Option<IsolationLevel>,
        access: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> Work<'c, T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let begun = self.begin_with_config(isolation, access).await;
        begun.map_err(TransactionError::Connection)?.finish_with(work).await
    }
}
