//! One session with a database: a single connection of the driver.

use sea_orm::{
    ExecResult, QueryResult, Statement,
    sqlx::{
        AssertSqlSafe, Connection as _, Error, Executor as _, Row as _, mysql::MySqlConnection, postgres::PgConnection,
        query_with, raw_sql, sqlite::SqliteConnection,
    },
};

use super::binding;

/// A connection. Dropping it closes its socket or file at once, whatever the other side does.
pub(super) enum DatabaseSession {
    Postgres(PgConnection),
    /// Through a pooler, which gives the server's session to others: no statement keeps a name in it.
    Pooled(PgConnection),
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

/// The same code for each driver.
macro_rules! with_driver {
    ($session:expr, |$connection:ident, $bind:ident| $body:expr) => {
        match $session {
            DatabaseSession::Postgres($connection) | DatabaseSession::Pooled($connection) => {
                use binding::postgres as $bind;
                $body
            }
            DatabaseSession::MySql($connection) => {
                use binding::mysql as $bind;
                $body
            }
            DatabaseSession::Sqlite($connection) => {
                use binding::sqlite as $bind;
                $body
            }
        }
    };
}

impl DatabaseSession {
    /// Whether the session knows a statement that it has prepared before.
    fn has_memory(&self) -> bool {
        !matches!(self, Self::Pooled(_))
    }

    /// Runs a statement with its parameters.
    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<ExecResult, Error> {
        let has_memory = self.has_memory();
        with_driver!(self, |connection, bind| {
            let query = query_with(AssertSqlSafe(statement.sql.as_str()), bind(statement)?).persistent(has_memory);
            Ok(query.execute(connection).await?.into())
        })
    }

    /// Returns the rows of a query.
    pub(super) async fn all(&mut self, statement: &Statement) -> Result<Vec<QueryResult>, Error> {
        let has_memory = self.has_memory();
        with_driver!(self, |connection, bind| {
            let query = query_with(AssertSqlSafe(statement.sql.as_str()), bind(statement)?).persistent(has_memory);
            Ok(query.fetch_all(connection).await?.into_iter().map(Into::into).collect())
        })
    }

    /// Runs statements without parameters, one after the other.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<ExecResult, Error> {
        with_driver!(self, |connection, bind| {
            let _ = bind;
            Ok(connection.execute(AssertSqlSafe(sql)).await?.into())
        })
    }

    /// Whether the other side answers.
    pub(super) async fn ping(&mut self) -> Result<(), Error> {
        with_driver!(self, |connection, bind| {
            let _ = bind;
            connection.ping().await
        })
    }

    /// The columns of the last row of statements without parameters. All of them are texts.
    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<Option<String>>, Error> {
        with_driver!(self, |connection, bind| {
            let _ = bind;
            let rows = connection.fetch_all(raw_sql(AssertSqlSafe(sql))).await?;
            let Some(row) = rows.last() else { return Ok(Vec::new()) };
            (0..row.len()).map(|column| row.try_get::<Option<String>, _>(column)).collect()
        })
    }
}
