//! The address of the database, and the limits of the connections to it.

use std::{fmt, path::PathBuf, time::Duration};

use crate::domain::{new_task::DEFAULT_MAX_PAYLOAD, redact::redacted, schema_name::SchemaName};

/// The address of the database, and the limits of the pool.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The database URL: `sqlite://…`, `postgres://…` or `mysql://…`.
    pub url: String,
    /// The maximum number of connections. SQLite always has one, because it has one writer.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may take. Then its connection is closed.
    pub statement_timeout: Duration,
    /// Whether a pooler gives the sessions to others between two transactions, as pgbouncer in transaction mode does.
    /// Then nothing is kept in a session: no prepared statement, no setting, no LISTEN.
    pub is_pooled: bool,
    /// The URL of PostgreSQL past a pooler, for LISTEN and migrations; none if it is [`ConnectOptions::url`].
    pub direct_url: Option<String>,
    /// The largest payload that is enqueued and claimed, in bytes.
    pub max_payload: u64,
    /// The schema of the tables on PostgreSQL; none for the server's own search path, which usually means `public`.
    pub schema: Option<SchemaName>,
    /// Whether it is an application's connection, with statements of its own: the planner of PostgreSQL is left as it is,
    /// and a missing SQLite file is not created, because the daemon creates it with the tables.
    pub is_application: bool,
}

impl ConnectOptions {
    /// The default limits for a database URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            is_pooled: false,
            direct_url: None,
            max_payload: DEFAULT_MAX_PAYLOAD,
            schema: None,
            is_application: false,
        }
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
}
