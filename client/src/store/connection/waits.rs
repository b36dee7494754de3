//! Statements that take long: what they wait for, said once a minute, and the end of their patience.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sea_orm::{DbBackend, Statement, sqlx};
use tokio::time::timeout;

use super::{driver, file::SqliteFile, limits::ServerLimits, session::DatabaseSession, target::Target};

/// A statement that takes longer is looked into.
const LONG: Duration = Duration::from_secs(5);
/// How long the search for the reason may take.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// An SQLite file that was not found busy for this long was free in between.
const FREE: Duration = Duration::from_secs(3);
/// The same thing is said this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Length of the part of a statement that is shown.
const SHOWN: usize = 60;

/// Who holds a lock that one of the sessions waits for, on PostgreSQL.
const POSTGRES_BLOCKERS: &str = "SELECT format('process %s (%s@%s, %s, %s for %s s): %s', a.pid, a.usename, \
     coalesce(host(a.client_addr), 'local'), coalesce(nullif(a.application_name, ''), 'unnamed'), a.state, \
     floor(extract(epoch FROM now() - a.xact_start)), left(regexp_replace(a.query, '\\s+', ' ', 'g'), 80)) \
     FROM pg_stat_activity a WHERE a.pid = ANY(pg_blocking_pids(CAST(CAST($1 AS text) AS integer))) ORDER BY a.xact_start DESC";
/// The oldest transaction of another session, on MySQL and MariaDB: the databases have no common table of locks.
const MYSQL_BLOCKERS: &str = "SELECT CAST(CONCAT('connection ', t.trx_mysql_thread_id, ' (', \
     COALESCE(p.user, '?'), '@', COALESCE(p.host, '?'), ', ', LOWER(COALESCE(p.command, '?')), '), in a transaction \
     since ', t.trx_started) AS CHAR) FROM information_schema.innodb_trx t \
     LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
     WHERE t.trx_state <> 'LOCK WAIT' AND t.trx_mysql_thread_id <> CONNECTION_ID() \
     AND t.trx_rows_locked + t.trx_tables_locked + t.trx_rows_modified > 0 \
     AND t.trx_mysql_thread_id <> ? ORDER BY t.trx_started DESC";

/// What is known about the waits of one pool, and of the dedicated ones beside it.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    target: Target,
    said: Arc<Mutex<Said>>,
}

/// When something was last said or seen.
#[derive(Debug, Default)]
struct Said {
    wait: Option<Instant>,
    /// Since when the SQLite file has been busy, and when it last was.
    busy: Option<(Instant, Instant)>,
    file: Option<Instant>,
}

impl Waits {
    pub(super) fn new(target: Target) -> Self {
        Self { target, said: Arc::default() }
    }

    /// Waits for a statement, up to `limit`. `number` is that of its session on the server.
    pub(super) async fn watch<T>(
        &self,
        what: &str,
        number: Option<String>,
        limit: Duration,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut work = pin!(work);
        if let Ok(result) = timeout(LONG.min(limit), &mut work).await {
            return result;
        }
        if limit > LONG {
            self.look_into(shown(what), number);
            if let Ok(result) = timeout(limit - LONG, work).await {
                return result;
            }
        }
        let text = format!("no answer within {} s to `{}`", limit.as_secs(), shown(what));
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text)))
    }

    /// A statement found that another process writes to the SQLite file. Statements that give up soon count together: it is
    /// the file that is busy, and none of them may wait for long.
    pub(super) fn note_busy_file(&self) {
        let mut said = self.said.lock();
        let since = said.busy.filter(|(_, last)| last.elapsed() < FREE).map_or_else(Instant::now, |(since, _)| since);
        said.busy = Some((since, Instant::now()));
        let waited = since.elapsed();
        if waited >= LONG && is_due(&mut said.wait) {
            drop(said);
            let holders = self.target.file().map(SqliteFile::writers).unwrap_or_default();
            tracing::warn!(
                "statements have waited for {} s: another process writes to the database file{holders}",
                waited.as_secs()
            );
        }
    }

    /// The file of an idle session is not the one that its path leads to.
    pub(super) fn note_file(&self, change: &str) {
        if let Some(file) = self.target.file().filter(|_| is_due(&mut self.said.lock().file)) {
            tracing::error!(
                "the database file {} {change} while it was open: it is opened again; what was written to the old file \
                 is not in the new one",
                file.path().display()
            );
        }
    }

    /// Finds out what a statement waits for, and logs it.
    fn look_into(&self, what: String, number: Option<String>) {
        let Some(number) = number.filter(|_| is_due(&mut self.said.lock().wait)) else { return };
        let waits = self.clone();
        driver::spawn(async move {
            let found = timeout(SEARCH_TIMEOUT, waits.blocker(&number)).await;
            let seconds = LONG.as_secs();
            match found {
                Ok(Ok(Some(holder))) => {
                    tracing::warn!("a statement has waited for {seconds} s (`{what}`): blocked by {holder}");
                }
                Ok(Ok(None)) => tracing::warn!(
                    "a statement has waited for {seconds} s (`{what}`): the database answers, and names nobody who blocks it"
                ),
                Ok(Err(problem)) => tracing::warn!(
                    "a statement has waited for {seconds} s (`{what}`), and the database does not say why: {problem}"
                ),
                Err(_) => {
                    tracing::warn!("a statement has waited for {seconds} s (`{what}`): the database does not answer");
                }
            }
        });
    }

    /// Who blocks the session of that number, in the database's words.
    async fn blocker(&self, number: &str) -> Result<Option<String>, String> {
        let limits = ServerLimits { lock: SEARCH_TIMEOUT, transaction: SEARCH_TIMEOUT, idle: SEARCH_TIMEOUT };
        let opening = self.target.open(limits, SEARCH_TIMEOUT).await;
        let mut opened = opening.map_err(|failure| failure.to_string())?;
        let (backend, sql) = match opened.session {
            DatabaseSession::Postgres(_) | DatabaseSession::Pooled(_) => (DbBackend::Postgres, POSTGRES_BLOCKERS),
            DatabaseSession::MySql(_) => (DbBackend::MySql, MYSQL_BLOCKERS),
            DatabaseSession::Sqlite(_) => return Ok(None),
        };
        let statement = Statement::from_sql_and_values(backend, sql, [number.into()]);
        let rows = opened.session.all(&statement).await.map_err(|error| error.to_string())?;
        let first = rows.first().map(|row| row.try_get_by_index(0)).transpose();
        Ok(first.map_err(|error| error.to_string())?.flatten())
    }
}

/// Whether something may be said again now.
fn is_due(said: &mut Option<Instant>) -> bool {
    let is_due = said.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
    if is_due {
        *said = Some(Instant::now());
    }
    is_due
}

/// The beginning of a statement, on one line.
fn shown(sql: &str) -> String {
    let text = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_by_its_beginning() {
        assert_eq!(shown("SELECT 1\n  FROM x"), "SELECT 1 FROM x");
        assert_eq!(shown(&"ä".repeat(100)), format!("{}…", "ä".repeat(SHOWN)));
    }

    #[test]
    fn a_busy_file_counts_over_several_statements() {
        let target = Target::parse(&super::super::options::ConnectOptions::new("sqlite::memory:")).expect("a target");
        let waits = Waits::new(target);
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).expect("an instant");
        waits.note_busy_file();
        assert!(waits.said.lock().wait.is_none(), "it has just become busy");
        waits.said.lock().busy = Some((ago(10), ago(4)));
        waits.note_busy_file();
        assert!(waits.said.lock().wait.is_none(), "it was free in between");
        waits.said.lock().busy = Some((ago(6), ago(1)));
        waits.note_busy_file();
        assert!(waits.said.lock().wait.is_some(), "no statement waited for long, but the file is busy");
    }

    #[test]
    fn the_same_thing_is_said_once_a_minute() {
        let mut said = None;
        assert!(is_due(&mut said));
        assert!(!is_due(&mut said));
    }
}
