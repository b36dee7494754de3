//! Transactions that last long, as the server shows them.

use std::time::Duration;

use sea_orm::QueryResult;

use super::super::{Store, StoreError, dialect::Dialect};
use crate::domain::doctor::transactions::{LONG, LongTransaction, TransactionFacts, TransactionHolder};

const POSTGRES_SESSIONS: &str = "SELECT CAST(pid AS bigint) AS id, CAST(usename AS text) AS role, application_name, state, \
    CAST(EXTRACT(EPOCH FROM clock_timestamp() - xact_start) AS bigint) AS age FROM pg_stat_activity \
    WHERE (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) AND datname = current_database() \
    AND backend_type = 'client backend' \
    AND xact_start < clock_timestamp() - ? * interval '1 second' ORDER BY xact_start LIMIT 10";
/// What a role may not see has this text in place of its statement.
const POSTGRES_HIDDEN: &str = "SELECT COUNT(*) AS hidden FROM pg_stat_activity \
    WHERE datname = current_database() AND query = '<insufficient privilege>'";
const POSTGRES_PREPARED: &str = "SELECT gid, CAST(owner AS text) AS role, \
    CAST(EXTRACT(EPOCH FROM clock_timestamp() - prepared) AS bigint) AS age FROM pg_prepared_xacts \
    WHERE database = current_database() AND prepared < clock_timestamp() - ? * interval '1 second' \
    ORDER BY prepared LIMIT 10";
const POSTGRES_SLOTS: &str = "SELECT CAST(slot_name AS text) AS name, \
    (xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AS keeps_rows, \
    CAST(COALESCE(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() \
    ELSE pg_current_wal_lsn() END, restart_lsn), 0) AS bigint) AS kept FROM pg_replication_slots \
    WHERE NOT active ORDER BY slot_name LIMIT 10";
/// The server keeps its start in the time zone of its machine.
const MYSQL_TRANSACTIONS: &str = "SELECT CAST(t.trx_mysql_thread_id AS SIGNED) AS id, \
    CAST(COALESCE(p.user, '?') AS CHAR) AS role, CAST(p.command AS CHAR) AS state, \
    CAST(TIMESTAMPDIFF(SECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS SIGNED) AS age \
    FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
    WHERE t.trx_started < CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM') - INTERVAL ? SECOND \
    ORDER BY t.trx_started LIMIT 10";

impl Store {
    /// The transactions that have lasted longer than [`LONG`]; none for SQLite.
    ///
    /// # Errors
    /// If the database is unavailable or refuses a statement: MariaDB and MySQL ask for the right PROCESS.
    pub async fn transaction_facts(&self) -> Result<Option<TransactionFacts>, StoreError> {
        match self.dialect {
            Dialect::Postgres => self.postgres_transactions().await.map(Some),
            Dialect::MySql => self.mysql_transactions().await.map(Some),
            Dialect::Sqlite => Ok(None),
        }
    }

    async fn postgres_transactions(&self) -> Result<TransactionFacts, StoreError> {
        let limit = LONG.as_secs() as i64;
        let mut long = Vec::new();
        for row in self.all(&self.db, POSTGRES_SESSIONS, [limit.into()]).await? {
            let holder = TransactionHolder::Session { id: row.try_get("", "id")?, state: row.try_get("", "state")? };
            let (role, application): (String, Option<String>) =
                (row.try_get("", "role")?, row.try_get("", "application_name")?);
            let application = application.filter(|name| !name.is_empty()).map(|name| format!(" ({name})"));
            long.push(LongTransaction { holder, who: role + &application.unwrap_or_default(), age: age(&row)? });
        }
        for row in self.all(&self.db, POSTGRES_PREPARED, [limit.into()]).await? {
            let holder = TransactionHolder::Prepared(row.try_get("", "gid")?);
            long.push(LongTransaction { holder, who: row.try_get("", "role")?, age: age(&row)? });
        }
        for row in self.all(&self.db, POSTGRES_SLOTS, []).await? {
            let holder = TransactionHolder::Slot {
                name: row.try_get("", "name")?,
                kept: row.try_get::<i64>("", "kept")?.max(0).unsigned_abs(),
                keeps_rows: row.try_get("", "keeps_rows")?,
            };
            long.push(LongTransaction { holder, who: String::new(), age: Duration::ZERO });
        }
        let hidden = self.one(&self.db, POSTGRES_HIDDEN, []).await?.try_get("", "hidden")?;
        Ok(TransactionFacts { long, hidden, end: "SELECT pg_terminate_backend({});" })
    }

    async fn mysql_transactions(&self) -> Result<TransactionFacts, StoreError> {
        let mut long = Vec::new();
        for row in self.all(&self.db, MYSQL_TRANSACTIONS, [(LONG.as_secs() as i64).into()]).await? {
            let holder = match row.try_get("", "id")? {
                // A session ends, and what it has prepared stays.
                0 => TransactionHolder::Xa,
                id => TransactionHolder::Session { id, state: row.try_get("", "state")? },
            };
            long.push(LongTransaction { holder, who: row.try_get("", "role")?, age: age(&row)? });
        }
        Ok(TransactionFacts { long, hidden: 0, end: "KILL {};" })
    }
}

fn age(row: &QueryResult) -> Result<Duration, StoreError> {
    Ok(Duration::from_secs(row.try_get::<i64>("", "age")?.max(0).unsigned_abs()))
}
