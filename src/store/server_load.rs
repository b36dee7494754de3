//! What the database server has written and worked, for benchmarks.

use super::{Store, StoreError, dialect::Dialect};

impl Store {
    /// The bytes that the server has written to its log since some instant; none where that is unknown. On PostgreSQL this
    /// is the write-ahead log, on MySQL and MariaDB the log of InnoDB.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn log_bytes(&self) -> Result<Option<u64>, StoreError> {
        let sql = match self.dialect {
            Dialect::Postgres => "SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS bigint) AS bytes",
            Dialect::MySql => "SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'",
            Dialect::Sqlite => return Ok(None),
        };
        let row = self.one(&self.db, sql, []).await?;
        Ok(match self.dialect {
            Dialect::MySql => row.try_get::<String>("", "Value")?.parse().ok(),
            Dialect::Postgres | Dialect::Sqlite => u64::try_from(row.try_get::<i64>("", "bytes")?).ok(),
        })
    }

    /// The numbers of the server's processes; empty where they are unknown, or where it works in this process.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn server_processes(&self) -> Result<Vec<i32>, StoreError> {
        if self.dialect != Dialect::Postgres {
            return Ok(Vec::new());
        }
        let rows = self.all(&self.db, "SELECT pid FROM pg_stat_activity", []).await?;
        rows.iter().map(|row| Ok(row.try_get("", "pid")?)).collect()
    }
}
