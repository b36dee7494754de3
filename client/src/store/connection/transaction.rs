//! An open transaction, and transactions inside it.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};
use tokio::sync::Mutex;

use super::{
    driver::on_driver,
    errors::{Work, exec_error, query_error},
    pool::Loan,
};

/// A transaction. Unless it is committed, it is rolled back when it is dropped.
pub struct DatabaseTransaction {
    loan: Arc<Mutex<Loan>>,
    backend: DbBackend,
    /// How many transactions are around this one.
    depth: u32,
    is_open: bool,
}

impl std::fmt::Debug for DatabaseTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseTransaction").field("depth", &self.depth).finish_non_exhaustive()
    }
}

impl DatabaseTransaction {
    /// Begins a transaction in a session, by these statements.
    pub(super) async fn begin_in(mut loan: Loan, backend: DbBackend, sql: &str) -> Result<Self, DbErr> {
        loan.pool().count_statement();
        // Even an unanswered BEGIN may have begun.
        loan.set_in_transaction(true);
        loan.batch(sql).await.map_err(query_error)?;
        Ok(Self { loan: Arc::new(Mutex::new(loan)), backend, depth: 0, is_open: true })
    }

    /// Commits what was done.
    ///
    /// # Errors
    /// If the database does not answer, or refuses the commit.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.end("COMMIT", "RELEASE SAVEPOINT sexton_#").await
    }

    /// Undoes what was done.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.end("ROLLBACK", "ROLLBACK TO SAVEPOINT sexton_#").await
    }

    async fn end(mut self, outer: &str, nested: &str) -> Result<(), DbErr> {
        let depth = self.depth;
        on_driver(async {
            let mut loan = self.loan.lock().await;
            loan.pool().count_statement();
            let sql = if depth == 0 { outer.to_owned() } else { nested.replace('#', &depth.to_string()) };
            loan.batch(&sql).await.map_err(query_error)?;
            if depth == 0 {
                loan.set_in_transaction(false);
            }
            Ok::<(), DbErr>(())
        })
        .await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for DatabaseTransaction {
    fn drop(&mut self) {
        // The loan itself rolls the outermost transaction back.
        if self.is_open
            && self.depth > 0
            && let Ok(mut loan) = self.loan.try_lock()
        {
            loan.undo_later(format!("ROLLBACK TO SAVEPOINT sexton_{}", self.depth));
        }
    }
}

#[async_trait]
impl ConnectionTrait for DatabaseTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        on_driver(async {
            let mut loan = self.loan.lock().await;
            loan.pool().count_statement();
            loan.execute(&statement).await.map_err(exec_error)
        })
        .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        on_driver(async { self.loan.lock().await.batch(sql).await.map_err(exec_error) }).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        on_driver(async {
            let mut loan = self.loan.lock().await;
            loan.pool().count_statement();
            loan.all(&statement).await.map_err(query_error)
        })
        .await
    }
}

#[async_trait]
impl TransactionSession for DatabaseTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        Self::commit(self).await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        Self::rollback(self).await
    }
}

#[async_trait]
impl TransactionTrait for DatabaseTransaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        let depth = self.depth + 1;
        on_driver(async { self.loan.lock().await.batch(&format!("SAVEPOINT sexton_{depth}")).await })
            .await
            .map_err(query_error)?;
        Ok(Self { loan: self.loan.clone(), backend: self.backend, depth, is_open: true })
    }

    async fn begin_with_config(&self, _: Option<IsolationLevel>, _: Option<AccessMode>) -> Result<Self, DbErr> {
        self.begin().await
    }

    async fn begin_with_options(&self, _: TransactionOptions) -> Result<Self, DbErr> {
        self.begin().await
    }

    async fn transaction<F, T, E>(&self, work: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Work<'c, T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let transaction = self.begin().await.map_err(TransactionError::Connection)?;
        transaction.finish_with(work).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        work: F,
        _: Option<IsolationLevel>,
        _: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Work<'c, T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.transaction(work).await
    }
}

impl DatabaseTransaction {
    /// Does the work, and commits it if it succeeds.
    pub(super) async fn finish_with<F, T, E>(self, work: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Work<'c, T, E> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        match work(&self).await {
            Ok(result) => {
                self.commit().await.map_err(TransactionError::Connection)?;
                Ok(result)
            }
            Err(error) => {
                self.rollback().await.map_err(TransactionError::Connection)?;
                Err(TransactionError::Transaction(error))
            }
        }
    }
}
