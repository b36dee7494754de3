//! A connection of the application's own, plain sqlx, for the statements of an enqueue.

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    sqlx::{
        AssertSqlSafe, Error, Executor as _, mysql::MySqlConnection, postgres::PgConnection, query_with,
        sqlite::SqliteConnection,
    },
};
use tokio::sync::Mutex;

use super::{
    binding,
    errors::{exec_error, query_error},
};

/// A connection of sqlx: of `sqlx::PgConnection`, `sqlx::MySqlConnection` or `sqlx::SqliteConnection`, also inside a
/// transaction. No other type can implement it.
#[async_trait]
pub trait SqlxConnection: Sealed + Send {
    /// The kind of database.
    #[doc(hidden)]
    const BACKEND: DbBackend;

    /// Runs a statement.
    #[doc(hidden)]
    async fn run_statement(&mut self, statement: &Statement) -> Result<ExecResult, Error>;

    /// Returns the rows of a query.
    #[doc(hidden)]
    async fn rows_of(&mut self, statement: &Statement) -> Result<Vec<QueryResult>, Error>;

    /// Runs statements without parameters.
    #[doc(hidden)]
    async fn run_batch(&mut self, sql: &str) -> Result<ExecResult, Error>;
}

/// Keeps other types out.
pub trait Sealed {}

macro_rules! connection {
    ($connection:ty, $backend:ident, $bind:ident) => {
        impl Sealed for $connection {}

        #[async_trait]
        impl SqlxConnection for $connection {
            const BACKEND: DbBackend = DbBackend::$backend;

            async fn run_statement(&mut self, statement: &Statement) -> Result<ExecResult, Error> {
                let query = query_with(AssertSqlSafe(statement.sql.as_str()), binding::$bind(statement)?);
                Ok(query.execute(self).await?.into())
            }

            async fn rows_of(&mut self, statement: &Statement) -> Result<Vec<QueryResult>, Error> {
                let query = query_with(AssertSqlSafe(statement.sql.as_str()), binding::$bind(statement)?);
                Ok(query.fetch_all(self).await?.into_iter().map(Into::into).collect())
            }

            async fn run_batch(&mut self, sql: &str) -> Result<ExecResult, Error> {
                Ok(self.execute(AssertSqlSafe(sql)).await?.into())
            }
        }
    };
}

connection!(PgConnection, Postgres, postgres);
connection!(MySqlConnection, MySql, mysql);
connection!(SqliteConnection, Sqlite, sqlite);

/// The connection as one of SeaORM's.
pub struct BorrowedConnection<'c, C>(Mutex<&'c mut C>);

impl<'c, C> BorrowedConnection<'c, C> {
    /// Borrows a connection.
    pub fn new(connection: &'c mut C) -> Self {
        Self(Mutex::new(connection))
    }
}

#[async_trait]
impl<C: SqlxConnection> ConnectionTrait for BorrowedConnection<'_, C> {
    fn get_database_backend(&self) -> DbBackend {
        C::BACKEND
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.0.lock().await.run_statement(&statement).await.map_err(exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.0.lock().await.run_batch(sql).await.map_err(exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.0.lock().await.rows_of(&statement).await.map_err(query_error)
    }
}
