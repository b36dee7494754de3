//! Statements of the configuration that change an application's database: all of them in one transaction of a session of
//! its own. On Sexton's own database the same transaction notes the result in the task.

use std::{collections::BTreeMap, future::Future, pin::pin, time::Duration};

use sea_orm::sqlx::{
    mysql::{MySqlConnectOptions, MySqlConnection},
    postgres::{PgConnectOptions, PgConnection},
    sqlite::SqliteConnection,
};
use serde_json::Value;
use sexton_client::store::connection::BorrowedConnection;
use sexton_entities::json_text::JsonText;

use super::{mysql, mysql_writes, postgres_writes, sqlite, sqlite_writes};
use crate::{
    domain::{
        schema_name::SchemaName,
        sql_task::{SqlRecord, commits_on_mysql},
        sql_text::SqlText,
        task::claim::ClaimIdentity,
    },
    store::{
        ConnectOptions, DropInRuntime, Store, StoreError,
        connection::{Target, on_driver},
    },
};

/// How long the order to end a statement may take.
const END_PATIENCE: Duration = Duration::from_secs(3);

/// The statements of a task.
#[derive(Clone, Copy, Debug)]
pub struct SqlWork<'a> {
    /// The statements, in their order.
    pub statements: &'a [SqlText],
    /// The values of their placeholders.
    pub values: &'a BTreeMap<String, Value>,
    /// How many rows of a statement are on record.
    pub max_rows: usize,
    /// The time limit that the server gets for each of them.
    pub timeout: Option<Duration>,
}

/// What became of the statements.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlEnd {
    /// They are committed.
    Committed(SqlRecord, JsonText),
    /// The claim does not hold any more, or an earlier attempt has committed them: nothing was changed.
    LostClaim,
    /// They were stopped: nothing was changed.
    Stopped,
    /// The database did not answer to the commit, for this reason: whether they are committed is not known.
    InDoubt(String),
}

/// Why statements failed. Nothing was changed.
#[derive(Clone, Debug)]
pub struct SqlFailure {
    /// The number of the statement, from 1; none for the connection or the end of the transaction.
    pub statement: Option<usize>,
    /// The error.
    pub error: StoreError,
}

impl From<StoreError> for SqlFailure {
    fn from(error: StoreError) -> Self {
        Self { statement: None, error }
    }
}

/// A session with a transaction.
enum WritingSession {
    /// With its host, and its number there.
    Postgres(PgConnection, Box<PgConnectOptions>, Option<String>),
    /// With its server, and its number there.
    MySql(MySqlConnection, Box<MySqlConnectOptions>, Option<String>),
    Sqlite(SqliteConnection, sqlite::EndOnDrop),
}

/// Executes statements in one transaction, unless `stop` is ready before. With `own`, the database is Sexton's, and the
/// statements count only if the result is noted in the task of that claim.
///
/// # Errors
/// If the database is not available, or refuses a statement. The transaction is rolled back.
pub async fn execute(
    options: &ConnectOptions,
    work: &SqlWork<'_>,
    own: Option<(&Store, ClaimIdentity)>,
    stop: impl Future<Output = ()>,
) -> Result<SqlEnd, SqlFailure> {
    let schema = options.schema.clone();
    // The application's tables are where the server looks for them.
    let options = ConnectOptions { schema: None, is_application: true, ..options.clone() };
    let target = Target::parse(&options).map_err(StoreError::InvalidUrl)?;
    let working = async {
        let mut stop = pin!(stop);
        let opened = tokio::select! {
            biased;
            opened = WritingSession::begin(&target, &options, work, own.is_some()) => Some(opened),
            () = &mut stop => None,
        };
        let Some(opened) = opened else { return Ok(SqlEnd::Stopped) };
        let mut session = opened?;
        let worked = tokio::select! {
            biased;
            worked = session.work(work, own, schema.as_ref()) => Some(worked),
            () = &mut stop => None,
        };
        match worked {
            Some(Ok(Some((record, result)))) => {
                // From here on a stop comes too late.
                match session.commit().await {
                    Ok(()) => Ok(SqlEnd::Committed(record, result)),
                    Err(error) if error.is_outage() && !matches!(error, StoreError::Conflict(_)) => {
                        Ok(SqlEnd::InDoubt(error.cause()))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Some(Ok(None)) => Ok(SqlEnd::LostClaim),
            Some(Err(failure)) => Err(failure),
            None => {
                session.end().await;
                Ok(SqlEnd::Stopped)
            }
        }
    };
    DropInRuntime::new(on_driver(working)).await
}

impl WritingSession {
    /// Opens a session, and begins a transaction.
    async fn begin(
        target: &Target,
        options: &ConnectOptions,
        work: &SqlWork<'_>,
        is_own: bool,
    ) -> Result<Self, SqlFailure> {
        let patience = options.acquire_timeout;
        Ok(match target {
            Target::Postgres { hosts, must_write, .. } => {
                let (mut connection, host) = postgres_writes::open(hosts, *must_write, patience).await?;
                let number = postgres_writes::begin(&mut connection, work.timeout).await?;
                Self::Postgres(connection, Box::new(host), number)
            }
            Target::MySql(server) => {
                if let Some(place) = work.statements.iter().position(|text| is_own && commits_on_mysql(text)) {
                    return Err(SqlFailure { statement: Some(place + 1), error: commits(&work.statements[place]) });
                }
                let mut connection = mysql::open(server, patience).await?;
                let number = mysql_writes::begin(&mut connection, work.timeout, is_own).await?;
                Self::MySql(connection, server.clone(), number)
            }
            Target::Sqlite(..) => {
                let (connection, end) = sqlite_writes::begin(&options.url, work.timeout).await?;
                Self::Sqlite(connection, end)
            }
        })
    }

    /// Executes the statements, and notes their result. None if the claim is lost.
    async fn work(
        &mut self,
        work: &SqlWork<'_>,
        own: Option<(&Store, ClaimIdentity)>,
        schema: Option<&SchemaName>,
    ) -> Result<Option<(SqlRecord, JsonText)>, SqlFailure> {
        let mut record = SqlRecord::new(work.max_rows);
        for (index, statement) in work.statements.iter().enumerate() {
            record.begin_statement();
            let done = match self {
                Self::Postgres(connection, ..) => {
                    postgres_writes::execute(connection, statement, work.values, &mut record).await
                }
                Self::MySql(connection, ..) => {
                    mysql_writes::execute(connection, statement, work.values, &mut record).await
                }
                Self::Sqlite(connection, _) => {
                    sqlite_writes::execute(connection, statement, work.values, &mut record).await
                }
            };
            done.map_err(|error| SqlFailure { statement: Some(index + 1), error })?;
        }
        let result = record.result().map_err(StoreError::Refused)?;
        let Some((store, claim)) = own else { return Ok(Some((record, result))) };
        let is_noted = match self {
            Self::Postgres(connection, ..) => {
                postgres_writes::find_tables(connection, schema).await?;
                store.note_applied(&BorrowedConnection::new(connection), claim, &result).await?
            }
            Self::MySql(connection, ..) => {
                store.note_applied(&BorrowedConnection::new(connection), claim, &result).await?
            }
            Self::Sqlite(connection, _) => {
                store.note_applied(&BorrowedConnection::new(connection), claim, &result).await?
            }
        };
        Ok(is_noted.then_some((record, result)))
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(connection, ..) => postgres_writes::commit(connection).await,
            Self::MySql(connection, ..) => mysql_writes::commit(connection).await,
            Self::Sqlite(connection, _) => sqlite_writes::commit(connection).await,
        }
    }

    /// Ends what the server still executes. A server that does not hear of it rolls back when it notices that the
    /// connection is closed.
    async fn end(self) {
        let ended = match &self {
            Self::Postgres(_, host, Some(number)) => {
                tokio::time::timeout(END_PATIENCE, postgres_writes::end(host, number, END_PATIENCE)).await
            }
            Self::MySql(_, server, Some(number)) => {
                tokio::time::timeout(END_PATIENCE, mysql_writes::end(server, number, END_PATIENCE)).await
            }
            Self::Postgres(..) | Self::MySql(..) => Ok(Ok(())),
            Self::Sqlite(_, statement) => {
                statement.end();
                Ok(Ok(()))
            }
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the server was not asked to end a statement: {error}"),
            Err(_) => tracing::warn!("the server does not answer to the order to end a statement"),
        }
    }
}

/// What cannot be part of a transaction.
fn commits(statement: &SqlText) -> StoreError {
    StoreError::Refused(format!(
        "MariaDB and MySQL end a transaction at `{}`, so it cannot be done exactly once: give the task a `url`, and it is \
         done at least once",
        statement.first_word().to_uppercase()
    ))
}
