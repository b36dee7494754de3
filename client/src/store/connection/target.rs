//! Where sessions lead to, and how one is opened.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    AccessMode, DatabaseConnection, SqliteTransactionMode, SqlxMySqlConnector, SqlxPostgresConnector,
    SqlxSqliteConnector, TransactionOptions,
    sqlx::{
        ConnectOptions as _, Error,
        mysql::MySqlConnectOptions,
        pool::PoolOptions,
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use super::{
    file::{FileIdentity, SqliteFile},
    hosts,
    limits::ServerLimits,
    options::ConnectOptions,
    session::DatabaseSession,
};
use crate::{
    domain::{
        redact::scheme,
        schema_name::{self, SchemaName},
    },
    store::error::{OpenFailure, cause_of},
};

/// How long opening an SQLite file waits for another process that writes to it.
const OPEN_BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite itself waits this long for a busy file. Longer waits are done by the connection (see `retry_while_busy`).
const SHORT_BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 10";

/// Settings for PostgreSQL's planner in Sexton's own sessions. A session keeps the plan of a statement; one that was made
/// while the table of tasks was empty would read the whole table, and every dead row in it, until the next ANALYZE. All that
/// is done often has an index. A table without one costs more than any limit then, so that the server would start parallel workers
/// for a single row: that takes 10 to 20 ms.
const PLANNER: [(&str, &str); 3] =
    [("enable_seqscan", "off"), ("jit", "off"), ("max_parallel_workers_per_gather", "0")];

/// The database that sessions lead to.
#[derive(Clone, Debug)]
pub enum Target {
    Postgres {
        /// In the order of the URL.
        hosts: Vec<PgConnectOptions>,
        /// Whether a host is refused that only reads.
        must_write: bool,
        /// The host that was reached last.
        last: Arc<AtomicUsize>,
        is_pooled: bool,
        /// None for the server's own search path.
        schema: Option<SchemaName>,
    },
    MySql(Box<MySqlConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>, Option<Arc<SqliteFile>>),
}

/// A session that was just opened.
pub(super) struct Opened {
    pub(super) session: DatabaseSession,
    /// The number of the session on the server, by which it is found in the server's own tables; none without a server.
    pub(super) number: Option<String>,
    /// The file that was opened.
    pub(super) file: Option<FileIdentity>,
}

impl Target {
    /// Reads the URL. Nothing is opened.
    ///
    /// # Errors
    /// If the URL is invalid, in one sentence.
    pub fn parse(options: &ConnectOptions) -> Result<Self, String> {
        let text = |error: Error| cause_of(&error);
        if options.schema.is_some() && !options.url.starts_with("postgres") {
            return Err(schema_name::POSTGRES_ONLY.to_owned());
        }
        match options.url.split(':').next().unwrap_or_default() {
            "sqlite" => {
                let file = SqliteConnectOptions::from_str(&options.url).map_err(text)?;
                let path = options.sqlite_file();
                let file = file
                    // A file is made by `SqliteFile` alone, and only if it was never there.
                    .create_if_missing(path.is_none())
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(OPEN_BUSY_TIMEOUT)
                    .disable_statement_logging();
                Ok(Self::Sqlite(
                    Box::new(file),
                    path.map(|path| Arc::new(SqliteFile::at(path, !options.is_application))),
                ))
            }
            "postgres" | "postgresql" => {
                let (urls, must_write) = hosts::split(&options.url)?;
                let read = |url: String| {
                    let server = PgConnectOptions::from_str(&url).map_err(text)?.application_name("sexton");
                    let capacity = if options.is_pooled { 0 } else { 100 };
                    let server = server.statement_cache_capacity(capacity).disable_statement_logging();
                    // A pooler would refuse options, or give the settings to others: there the schema is set in each
                    // transaction.
                    if options.is_pooled {
                        return Ok(server);
                    }
                    let server = if options.is_application { server } else { server.options(PLANNER) };
                    Ok(match &options.schema {
                        Some(schema) => server.options([("search_path", schema)]),
                        None => server,
                    })
                };
                let hosts = urls.into_iter().map(read).collect::<Result<_, String>>()?;
                let (is_pooled, schema) = (options.is_pooled, options.schema.clone());
                Ok(Self::Postgres { hosts, must_write, last: Arc::default(), is_pooled, schema })
            }
            "mysql" | "mariadb" => {
                let server = MySqlConnectOptions::from_str(&options.url).map_err(text)?;
                Ok(Self::MySql(Box::new(server.disable_statement_logging())))
            }
            _ => Err(format!(
                "`{}` is not a supported database: write sqlite://PATH, postgres://… or mysql://…",
                scheme(&options.url)
            )),
        }
    }

    /// Whether a pooler stands between, which keeps nothing in a session.
    pub(super) fn is_pooled(&self) -> bool {
        matches!(self, Self::Postgres { is_pooled: true, .. })
    }

    /// The file of an SQLite database.
    pub(super) fn file(&self) -> Option<&SqliteFile> {
        match self {
            Self::Sqlite(_, file) => file.as_deref(),
            Self::Postgres { .. } | Self::MySql(_) => None,
        }
    }

    /// The schema of the tables, if it is set.
    pub fn schema(&self) -> Option<&SchemaName> {
        match self {
            Self::Postgres { schema, .. } => schema.as_ref(),
            Self::MySql(_) | Self::Sqlite(..) => None,
        }
    }

    /// What makes a transaction behind a pooler find the tables; none where the session knows.
    pub(super) fn set_schema(&self) -> Option<String> {
        let schema = self.schema().filter(|_| self.is_pooled())?;
        // Its name is checked: it reads the same inside the quotes.
        Some(format!("SET LOCAL search_path TO \"{schema}\""))
    }

    /// The statements that begin a transaction.
    pub(super) fn begin(&self, options: &TransactionOptions) -> String {
        let level = options.isolation_level.map(|level| format!("SET TRANSACTION ISOLATION LEVEL {level}"));
        let access = options.access_mode.map(|access| format!("SET TRANSACTION {access}"));
        let settings = level.into_iter().chain(access);
        match self {
            Self::Postgres { .. } => std::iter::once("BEGIN".to_owned())
                .chain(settings)
                .chain(self.set_schema())
                .collect::<Vec<_>>()
                .join("; "),
            Self::MySql(_) => settings.chain(["BEGIN".to_owned()]).collect::<Vec<_>>().join("; "),
            Self::Sqlite(..) => match options.sqlite_transaction_mode {
                Some(SqliteTransactionMode::Exclusive) => "BEGIN EXCLUSIVE".to_owned(),
                Some(SqliteTransactionMode::Deferred) => "BEGIN".to_owned(),
                None if options.access_mode == Some(AccessMode::ReadOnly) => "BEGIN".to_owned(),
                // One that begins to write later than another is refused at once, whatever the time limit.
                Some(SqliteTransactionMode::Immediate) | None => "BEGIN IMMEDIATE".to_owned(),
            },
        }
    }

    /// A connection as SeaORM's migrations need one.
    ///
    /// # Errors
    /// If the database cannot be reached, in one sentence.
    pub async fn for_migration(&self) -> Result<DatabaseConnection, String> {
        let text = |error: Error| OpenFailure::from(&error).text;
        match self {
            Self::Postgres { hosts, last, .. } => {
                let server = hosts[last.load(Ordering::Relaxed) % hosts.len()].clone();
                let pool = PoolOptions::new().max_connections(1).connect_with(server).await.map_err(text)?;
                Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
            }
            Self::MySql(server) => {
                let pool =
                    PoolOptions::new().max_connections(1).connect_with((**server).clone()).await.map_err(text)?;
                Ok(SqlxMySqlConnector::from_sqlx_mysql_pool(pool))
            }
            Self::Sqlite(file, _) => {
                let pool = PoolOptions::new().max_connections(1).connect_with((**file).clone()).await.map_err(text)?;
                Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
            }
        }
    }

    /// The server for LISTEN, the one that was reached last; none but on PostgreSQL.
    pub fn to_listen(&self) -> Option<PgConnectOptions> {
        match self {
            Self::Postgres { hosts, last, .. } => Some(hosts[last.load(Ordering::Relaxed) % hosts.len()].clone()),
            Self::MySql(_) | Self::Sqlite(..) => None,
        }
    }

    /// Opens a session. An attempt to reach one host takes at most `patience`.
    ///
    /// # Errors
    /// If no host can be used.
    pub(super) async fn open(&self, limits: ServerLimits, patience: Duration) -> Result<Opened, OpenFailure> {
        match self {
            Self::Postgres { hosts, must_write, last, is_pooled, .. } => {
                let first = last.load(Ordering::Relaxed);
                let mut failures = Vec::new();
                for place in 0..hosts.len() {
                    let at = (first + place) % hosts.len();
                    let opening = open_postgres(&hosts[at], *must_write, *is_pooled, limits);
                    match tokio::time::timeout(patience, opening).await {
                        Ok(Ok(opened)) => {
                            last.store(at, Ordering::Relaxed);
                            return Ok(opened);
                        }
                        Ok(Err(error)) => failures.push((at, OpenFailure::from(&error))),
                        Err(_) => failures.push((at, no_answer(patience))),
                    }
                }
                Err(of_hosts(hosts, failures))
            }
            Self::MySql(server) => {
                let opening = open_mysql(server, limits);
                let opened = tokio::time::timeout(patience, opening).await.map_err(|_| no_answer(patience))?;
                opened.map_err(|error| OpenFailure::from(&error))
            }
            Self::Sqlite(options, file) => open_sqlite(options, file.as_deref()).await,
        }
    }
}

fn no_answer(patience: Duration) -> OpenFailure {
    OpenFailure::outage(format!("the server does not answer within {} ms", patience.as_millis()))
}

/// Among several hosts, names the one that each failure is of. One that may pass is worth waiting for.
fn of_hosts(hosts: &[PgConnectOptions], failures: Vec<(usize, OpenFailure)>) -> OpenFailure {
    let is_refusal = failures.iter().all(|(_, failure)| failure.is_refusal);
    let name = |(at, failure): (usize, OpenFailure)| match hosts.len() {
        1 => failure.text,
        _ => format!("{}:{}: {failure}", hosts[at].get_host(), hosts[at].get_port()),
    };
    OpenFailure { text: failures.into_iter().map(name).collect::<Vec<_>>().join("; "), is_refusal }
}

async fn open_postgres(
    server: &PgConnectOptions,
    must_write: bool,
    is_pooled: bool,
    limits: ServerLimits,
) -> Result<Opened, Error> {
    let connection = server.connect().await?;
    let mut session =
        if is_pooled { DatabaseSession::Pooled(connection) } else { DatabaseSession::Postgres(connection) };
    // A number of our own, and no data: to bind it would cost another round trip. Behind a pooler it would stay with the
    // server's session, which is another client's after the transaction.
    let settings = match is_pooled {
        true => String::new(),
        // The server also asks a silent client after a minute whether it is there: sessions of lost nodes end.
        false => format!(
            "SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; SET tcp_keepalives_idle = 60; \
             SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;",
            limits.lock.as_millis(),
            limits.transaction.as_millis()
        ),
    };
    let sql = format!("{settings} SELECT pg_backend_pid()::text, current_setting('transaction_read_only')");
    let mut found = session.texts(&sql).await?.into_iter();
    let number = found.next().flatten().filter(|_| !is_pooled);
    if must_write && found.next().flatten().as_deref() == Some("on") {
        return Err(Error::Configuration("the server only reads: it is a standby, or read-only".into()));
    }
    Ok(Opened { session, number, file: None })
}

async fn open_mysql(server: &MySqlConnectOptions, limits: ServerLimits) -> Result<Opened, Error> {
    let mut session = DatabaseSession::MySql(server.connect().await?);
    let [lock, transaction, idle] = [limits.lock, limits.transaction, limits.idle].map(|limit| limit.as_secs().max(1));
    // The server's default level locks the gaps between rows, and claims would block each other there. Its default time
    // limit for locks on tables is a day or a year. What follows `M!` is for MariaDB alone.
    let sql = format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET SESSION innodb_lock_wait_timeout = {lock}, lock_wait_timeout = {lock}, wait_timeout = {idle} \
         /*M!100300 , idle_transaction_timeout = {transaction} */; \
         SELECT CAST(CONNECTION_ID() AS CHAR)"
    );
    let number = session.texts(&sql).await?.into_iter().next().flatten();
    Ok(Opened { session, number, file: None })
}

async fn open_sqlite(options: &SqliteConnectOptions, file: Option<&SqliteFile>) -> Result<Opened, OpenFailure> {
    let prepared = match file {
        // An empty file in the place of a lost one would look as if there had never been a task.
        Some(file) => file.prepare().map_err(OpenFailure::outage)?,
        None => None,
    };
    let open = async {
        let mut session = DatabaseSession::Sqlite(options.connect().await?);
        session.batch(SHORT_BUSY_TIMEOUT).await?;
        Ok(session)
    };
    let session = open.await.map_err(|error: Error| match file.and_then(SqliteFile::denial) {
        Some(denial) => OpenFailure { text: denial, is_refusal: true },
        None if file.is_some_and(SqliteFile::is_read_only) => {
            OpenFailure::outage("its file system is mounted read-only")
        }
        None => OpenFailure::from(&error),
    })?;
    let file = match file {
        Some(file) => file.opened(prepared).map_err(OpenFailure::outage)?,
        None => None,
    };
    Ok(Opened { session, number: None, file })
}
