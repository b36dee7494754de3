//! Version and settings of the database.

use super::super::{Store, StoreError, dialect::Dialect};
use crate::domain::doctor::{server::ServerFacts, sqlite::SqliteFacts};

/// The values that a new session gets: Sexton's own sessions change some of them.
const POSTGRES: &str = "SELECT name, reset_val AS value FROM pg_settings WHERE name IN ('server_version', 'fsync', \
    'full_page_writes', 'synchronous_commit', 'default_transaction_isolation', 'default_transaction_read_only', \
    'statement_timeout', 'idle_in_transaction_session_timeout', 'max_connections', 'superuser_reserved_connections', \
    'reserved_connections', 'autovacuum', 'track_counts', 'server_encoding') \
    UNION ALL SELECT 'in_recovery', CAST(pg_is_in_recovery() AS text) \
    UNION ALL SELECT 'role_connection_limit', CAST(rolconnlimit AS text) FROM pg_roles WHERE rolname = current_user \
    UNION ALL SELECT 'database_connection_limit', CAST(datconnlimit AS text) FROM pg_database \
    WHERE datname = current_database()";
const MYSQL: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'innodb_flush_log_at_trx_commit', \
    'innodb_flush_method', 'innodb_doublewrite', 'log_bin', 'sync_binlog', 'binlog_format', 'read_only', \
    'super_read_only', 'wsrep_on', 'sql_mode', 'transaction_isolation', 'tx_isolation', 'max_allowed_packet', \
    'max_connections', 'max_user_connections')";
const MYSQL_STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_ready')";

impl Store {
    /// Version and settings of the server; none for SQLite.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement.
    pub async fn server_facts(&self) -> Result<Option<ServerFacts>, StoreError> {
        let mut facts = ServerFacts::default();
        let (statements, name, value): (&[&str], _, _) = match self.dialect {
            Dialect::Postgres => (&[POSTGRES], "name", "value"),
            Dialect::MySql => (&[MYSQL, MYSQL_STATUS], "Variable_name", "Value"),
            Dialect::Sqlite => return Ok(None),
        };
        for sql in statements {
            for row in self.all(&self.db, sql, []).await? {
                let value: Option<String> = row.try_get("", value)?;
                facts.settings.insert(row.try_get::<String>("", name)?.to_lowercase(), value.unwrap_or_default());
            }
        }
        // MariaDB's name until version 11.
        if let Some(level) = facts.settings.remove("tx_isolation") {
            facts.settings.entry("transaction_isolation".to_owned()).or_insert(level);
        }
        let version = ["server_version", "version"].into_iter().find_map(|name| facts.settings.remove(name));
        facts.version = version.unwrap_or_default();
        Ok(Some(facts))
    }

    /// Version, mode and size of an SQLite database.
    ///
    /// # Errors
    /// If the file is unavailable or refuses a statement.
    pub async fn sqlite_facts(&self) -> Result<SqliteFacts, StoreError> {
        let version = self.one(&self.db, "SELECT sqlite_version() AS version", []).await?;
        let mode = self.one(&self.db, "PRAGMA journal_mode", []).await?;
        let sql = "SELECT page_size * page_count AS bytes, page_size * freelist_count AS unused \
                   FROM pragma_page_size, pragma_page_count, pragma_freelist_count";
        let sizes = self.one(&self.db, sql, []).await?;
        Ok(SqliteFacts {
            version: version.try_get("", "version")?,
            journal_mode: mode.try_get("", "journal_mode")?,
            bytes: sizes.try_get::<i64>("", "bytes")?.unsigned_abs(),
            unused: sizes.try_get::<i64>("", "unused")?.unsigned_abs(),
        })
    }
}
