//! Connecting: opens the connection pool.

use std::{
    fmt, os::unix::fs::OpenOptionsExt as _, path::PathBuf, str::FromStr, sync::Arc, sync::atomic::Ordering,
    time::Duration,
};

use super::{
    Counters, Store, StoreError,
    connection::{Connection, SQLITE_BUSY_TIMEOUT, enter_driver},
    dialect::Dialect,
};
use crate::domain::text::redact::{redacted, scheme};
use sea_orm::{
    DatabaseConnection, SqlxMySqlConnector, SqlxPostgresConnector, SqlxSqliteConnector,
    sqlx::{
        ConnectOptions as _, Connection as _, Database, Executor as _, Pool,
        mysql::{MySqlConnectOptions, MySqlPoolOptions},
        pool::PoolOptions,
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

/// SQLite itself waits this long for a busy file. Longer waits are done by the connection (see `retry_while_busy`).
pub(super) const SHORT_BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 10";
/// For statements that bypass the connection's own wait.
pub(super) const LONG_BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 10000";
/// A pooled connection that was idle for this long is tested before use.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(60);

/// The address of the database, and the limits of the pool.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The database URL: `sqlite://…`, `postgres://…` or `mysql://…`.
    pub url: String,
    /// The maximum number of connections. SQLite always has one, because it has one writer.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    pub acquire_timeout: Duration,
}

impl ConnectOptions {
    /// The default limits for a database URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), max_connections: 10, acquire_timeout: Duration::from_secs(5) }
    }

    /// The file of an SQLite database; none for a server or a database in memory.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let rest = self.url.strip_prefix("sqlite:")?;
        let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
        (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions").field("url", &redacted(&self.url)).finish_non_exhaustive()
    }
}

impl Store {
    /// Prepares the pool. No connection is opened yet, so this succeeds while the database is down.
    ///
    /// # Errors
    /// If the URL is invalid, or the directory of the SQLite file cannot be created.
    pub fn connect(options: &ConnectOptions) -> Result<Self, StoreError> {
        enter_driver(|| Self::open(options))
    }

    fn open(options: &ConnectOptions) -> Result<Self, StoreError> {
        let bad = |error: sea_orm::sqlx::Error| StoreError::InvalidUrl(error.to_string());
        let (dialect, db) = match options.url.split(':').next().unwrap_or_default() {
            "sqlite" => (Dialect::Sqlite, sqlite(options)?),
            "postgres" | "postgresql" => {
                let server = PgConnectOptions::from_str(&options.url).map_err(bad)?;
                let server = server.application_name("sexton").disable_statement_logging();
                let pool = pool(PgPoolOptions::new(), options).connect_lazy_with(server);
                (Dialect::Postgres, SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
            }
            "mysql" | "mariadb" => {
                let server = MySqlConnectOptions::from_str(&options.url).map_err(bad)?.disable_statement_logging();
                (Dialect::MySql, SqlxMySqlConnector::from_sqlx_mysql_pool(mysql(options, server)))
            }
            _ => {
                let other = scheme(&options.url);
                return Err(StoreError::InvalidUrl(format!(
                    "`{other}` is not a supported database: write sqlite://PATH, postgres://… or mysql://…"
                )));
            }
        };
        Ok(counted(db, dialect))
    }

    /// Connects to the server once, outside the pool, to find the cause of a failure: the pool only reports a timeout.
    ///
    /// # Errors
    /// If the URL is invalid, or the server does not accept a connection within `acquire_timeout`.
    pub async fn probe(options: &ConnectOptions) -> Result<(), StoreError> {
        async fn reach<D: Database>(url: &str) -> Result<(), sea_orm::sqlx::Error> {
            let options: <D::Connection as sea_orm::sqlx::Connection>::Options = url.parse()?;
            options.connect().await?.close().await
        }
        let url = options.url.as_str();
        let reached = match url.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => {
                tokio::time::timeout(options.acquire_timeout, reach::<sea_orm::sqlx::Postgres>(url)).await
            }
            "mysql" | "mariadb" => {
                tokio::time::timeout(options.acquire_timeout, reach::<sea_orm::sqlx::MySql>(url)).await
            }
            _ => return Store::connect(options)?.now().await.map(|_| ()),
        };
        match reached {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StoreError::Unavailable(error.to_string())),
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", options.acquire_timeout.as_secs()))),
        }
    }
}

fn counted(mut db: DatabaseConnection, dialect: Dialect) -> Store {
    let counters = Arc::new(Counters::default());
    let counting = counters.clone();
    db.set_metric_callback(move |_| {
        counting.statements.fetch_add(1, Ordering::Relaxed);
    });
    Store { db: Connection::new(db), dialect, counters, id: Arc::default() }
}

/// The settings that all pools share. A connection is tested only after it was idle: a test before each use would
/// double the number of round trips.
fn pool<D: Database>(pool: PoolOptions<D>, options: &ConnectOptions) -> PoolOptions<D> {
    pool.max_connections(options.max_connections.max(2))
        .acquire_timeout(options.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move { Ok(state.idle_for < TEST_AFTER_IDLE || connection.ping().await.is_ok()) })
        })
}

fn mysql(options: &ConnectOptions, server: MySqlConnectOptions) -> Pool<sea_orm::sqlx::MySql> {
    // The server's default level locks the gaps between rows, and claims would block each other there.
    const SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
    pool(MySqlPoolOptions::new(), options)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SESSION).await.map(|_| ()) }))
        .connect_lazy_with(server)
}

fn sqlite(options: &ConnectOptions) -> Result<DatabaseConnection, StoreError> {
    let file =
        SqliteConnectOptions::from_str(&options.url).map_err(|error| StoreError::InvalidUrl(error.to_string()))?;
    if let Some(path) = options.sqlite_file() {
        if let Some(dir) = path.parent() {
            let problem =
                |error| StoreError::InvalidUrl(format!("cannot create the directory {}: {error}", dir.display()));
            std::fs::create_dir_all(dir).map_err(problem)?;
        }
        // A new file is readable by its owner only. If it cannot be created, SQLite reports the cause.
        let _ = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    }
    let file = file
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .disable_statement_logging();
    let pool = PoolOptions::<sea_orm::sqlx::Sqlite>::new()
        .max_connections(1)
        .min_connections(0)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(options.acquire_timeout.max(SQLITE_BUSY_TIMEOUT * 3))
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute(SHORT_BUSY_TIMEOUT).await.map(|_| ()) })
        })
        .connect_lazy_with(file);
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_files() {
        let file = |url: &str| ConnectOptions::new(url).sqlite_file();
        assert_eq!(file("sqlite://var/sexton.db"), Some("var/sexton.db".into()));
        assert_eq!(file("sqlite:///srv/s.db?mode=rwc"), Some("/srv/s.db".into()));
        assert_eq!(file("sqlite::memory:"), None);
        assert_eq!(file("mysql://h/d"), None);
    }

    #[test]
    fn an_unknown_kind_of_database_is_named() {
        let error = Store::connect(&ConnectOptions::new("oracle://h/d")).expect_err("refused");
        assert!(error.to_string().contains("`oracle` is not a supported database"));
    }
}
