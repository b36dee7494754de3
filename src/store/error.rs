//! Errors of the store, by what the caller can do about them.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// Why the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer or cannot work at present. It helps to wait and to try again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The transaction conflicted with others more often than the store repeats it.
    #[error("the transaction conflicted with others and was aborted several times: {0}")]
    Conflict(String),
    /// The database refused a statement: a mistake, or a damaged table.
    #[error("the database refused a statement: {0}")]
    Refused(String),
    /// A row has a value that this program cannot read.
    #[error("{0}")]
    Unreadable(String),
    /// The task itself is invalid.
    #[error(transparent)]
    InvalidTask(#[from] crate::domain::task::InvalidTask),
    /// The database URL is invalid.
    #[error("database.url: {0}")]
    InvalidUrl(String),
    /// The schema was migrated by a later release.
    #[error(
        "the database was migrated by a newer Sexton (step `{0}` is unknown here): upgrade this program, or use another database"
    )]
    Newer(String),
}

impl StoreError {
    /// What the database said, without the beginning of the sentence.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Unavailable(said) | Self::Conflict(said) | Self::Refused(said) => said.clone(),
            other => other.to_string(),
        }
    }

    /// Whether it helps to wait.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// The statement is too large for the server (MySQL). Waiting does not help, although its class is that of outages.
const TOO_LARGE: &str = "1153";
/// Error codes of servers that answer but cannot work: shutting down, starting, too many connections, read-only after a
/// failover, out of disk space, a Galera node without its cluster.
const OUTAGES: [&str; 22] = [
    "57P01", "57P02", "57P03", "57014", "55P03", "53100", "53200", "53300", "25006", "08000", "08003", "08006",
    "08001", "08S01", "1290", "1836", "1040", "1021", "1114", "1203", "1226", "1317",
];
/// SQLite's codes: cannot open, disk full, I/O error, read-only.
const SQLITE_OUTAGES: [i32; 4] = [14, 13, 10, 8];
/// Serialization failures, deadlocks and lock timeouts.
const CONFLICTS: [&str; 4] = ["40001", "40P01", "1213", "1205"];
/// SQLite's codes: busy, locked.
const SQLITE_CONFLICTS: [i32; 2] = [5, 6];

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(plain(&error)),
            DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => match &**cause {
                sqlx::Error::Database(said) => by_code(&**said, said.to_string()),
                sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::TypeNotFound { .. } => Self::Refused(plain(&error)),
                _ => Self::Unavailable(plain(&error)),
            },
            _ => Self::Refused(plain(&error)),
        }
    }
}

/// Whether the error says that another process holds the SQLite file.
pub(super) fn is_busy(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
        return false;
    };
    let sqlx::Error::Database(said) = &**cause else { return false };
    let code = said.code().and_then(|code| code.parse::<i32>().ok());
    said.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some()
        && code.is_some_and(|code| SQLITE_CONFLICTS.contains(&(code & 0xff)))
}

fn by_code(error: &dyn sqlx::error::DatabaseError, said: String) -> StoreError {
    let mysql = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|error| error.number().to_string());
    let code = error.code().unwrap_or_default().into_owned();
    let is_one_of =
        |codes: &[&str]| codes.contains(&code.as_str()) || mysql.as_deref().is_some_and(|n| codes.contains(&n));
    // SQLite's extended codes have the primary code in their lowest byte.
    let sqlite =
        error.try_downcast_ref::<sqlx::sqlite::SqliteError>().and(code.parse::<i32>().ok()).map(|code| code & 0xff);
    let is_sqlite = |codes: &[i32]| sqlite.is_some_and(|code| codes.contains(&code));
    if mysql.as_deref() == Some(TOO_LARGE) {
        StoreError::Refused(said)
    } else if is_one_of(&CONFLICTS) || is_sqlite(&SQLITE_CONFLICTS) {
        StoreError::Conflict(said)
    } else if is_one_of(&OUTAGES) || is_sqlite(&SQLITE_OUTAGES) {
        StoreError::Unavailable(said)
    } else {
        StoreError::Refused(said)
    }
}

/// The cause without SeaORM's prefixes.
fn plain(error: &DbErr) -> String {
    let text = error.to_string();
    ["Failed to acquire connection from pool: ", "Connection Error: ", "Execution Error: ", "Query Error: "]
        .iter()
        .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text))
        .to_owned()
}
