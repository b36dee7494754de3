//! The connection pool, with its sockets in a runtime that outlives every module.
//!
//! A pooled connection belongs to the runtime in which it was opened, and breaks when that runtime ends. Each module
//! has a runtime of its own, which ends with the module. So connections are opened in a driver runtime that never ends;
//! it is entered around every call that may open one.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::LazyLock,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, IsolationLevel,
    QueryResult, Statement, TransactionError, TransactionOptions, TransactionTrait,
};
use tokio::runtime::{Builder, Handle};

use super::error::is_busy;

/// How long a statement waits for another process that writes to the SQLite file.
pub(super) const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The driver runtime of all database sockets of this process, on a thread of its own.
static DRIVER: LazyLock<Handle> = LazyLock::new(|| {
    let (sender, handle) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("database".to_owned()).spawn(move || {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = sender.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => {
                let _ = sender.send(Err(error));
            }
        }
    });
    match thread.map(|_| handle.recv()) {
        Ok(Ok(Ok(handle))) => handle,
        problem => panic!("cannot start the thread of the database sockets: {problem:?}"),
    }
});

/// Polls a future inside the driver runtime, on the caller's thread.
pub(super) async fn on_driver<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _entered = DRIVER.enter();
        future.as_mut().poll(context)
    })
    .await
}

/// A future that is also dropped inside the driver runtime. A connection that is dropped outside any runtime panics
/// instead of returning to its pool; that happens to unfinished work of a stopped thread.
pub struct DropInRuntime<F: Future>(Option<Pin<Box<F>>>);

impl<F: Future> DropInRuntime<F> {
    /// Wraps a future.
    pub fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future> Future for DropInRuntime<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &mut self.0 {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F: Future> Drop for DropInRuntime<F> {
    fn drop(&mut self) {
        enter_driver(|| drop(self.0.take()));
    }
}

/// Calls a function inside the driver runtime.
pub(super) fn enter_driver<T>(make: impl FnOnce() -> T) -> T {
    let _entered = DRIVER.enter();
    make()
}

/// A connection pool that may be used from any thread and outlives its runtime.
#[derive(Clone, Debug)]
pub struct Connection {
    pool: DatabaseConnection,
}

impl Connection {
    pub(super) fn new(pool: DatabaseConnection) -> Self {
        Self { pool }
    }

    /// The pool itself, for calls inside [`on_driver`].
    pub(super) fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }
}

/// Repeats a statement while another process writes to the SQLite file. SQLite's own wait checks the file less and less
/// often, in the end ten times a second, and would hardly ever find it free beside a process that writes all the time.
macro_rules! retry_while_busy {
    ($work:expr) => {{
        let started = Instant::now();
        loop {
            match on_driver($work).await {
                Err(error) if is_busy(&error) && started.elapsed() < SQLITE_BUSY_TIMEOUT => {
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
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        retry_while_busy!(self.pool.execute_raw(statement.clone()))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        retry_while_busy!(self.pool.execute_unprepared(sql))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        retry_while_busy!(self.pool.query_one_raw(statement.clone()))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        retry_while_busy!(self.pool.query_all_raw(statement.clone()))
    }
}

/// The function that [`TransactionTrait::transaction`] calls.
type Work<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

#[async_trait]
impl TransactionTrait for Connection {
    type Transaction = DatabaseTransaction;

    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        retry_while_busy!(self.pool.begin())
    }

    async fn begin_with_config(
        &self,
        isolation: Option<IsolationLevel>,
        access: Option<AccessMode>,
    ) -> Result<DatabaseTransaction, DbErr> {
        on_driver(self.pool.begin_with_config(isolation, access)).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        retry_while_busy!(self.pool.begin_with_options(options))
    }

    async fn transaction<F, T, E>(&self, work: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> Work<'c, T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        on_driver(self.pool.transaction(work)).await
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
        on_driver(self.pool.transaction_with_config(work, isolation, access)).await
    }
}
