//! Errors of the store, by what the caller can do about them.

use sea_orm::{DbErr, RuntimeErr, sqlx};

use super::error_class::{self, Class};

/// Why the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer or cannot work at present. It helps to wait and to try again.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database answers, and takes no changes at present. It helps to wait, or to connect elsewhere.
    #[error("the database is read-only {0}")]
    ReadOnly(String),
    /// The database answers, but refuses the login or the file that the configuration names. A running daemon waits: the
    /// password may just be changing.
    #[error("the database cannot be used as configured: {0}")]
    Misconfigured(String),
    /// All connections were in use for too long. It helps to wait. The database may well be in order.
    #[error("no connection to the database was free in time: all of them were in use by statements that take long")]
    Exhausted,
    /// The transaction conflicted with others more often than the store repeats it. It helps to wait.
    #[error("the transaction conflicted with others and was aborted several times: {0}")]
    Conflict(String),
    /// The database refused a statement: a mistake, or a missing table.
    #[error("the database refused a statement: {0}")]
    Refused(String),
    /// The database has no tables of Sexton.
    #[error("the database has no Sexton tables, or old ones ({0}): run `sexton db migrate`, or start the daemon")]
    NoTables(String),
    /// A row has a value that this program cannot read.
    #[error("{0}")]
    Unreadable(String),
    /// A transaction of the application belongs to another kind of database than the client.
    #[error(
        "the transaction belongs to {transaction}, and the client to {client}: connect the client to the same database"
    )]
    OtherDatabase {
        /// The database of the client.
        client: String,
        /// The database of the transaction.
        transaction: String,
    },
    /// The task itself is invalid.
    #[error(transparent)]
    InvalidTask(#[from] crate::domain::new_task::InvalidTask),
    /// The event itself is invalid.
    #[error(transparent)]
    InvalidEvent(#[from] crate::domain::new_event::InvalidEvent),
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
    pub fn cause(&self) -> String {
        match self {
            Self::Unavailable(said) | Self::Misconfigured(said) | Self::Conflict(said) | Self::Refused(said) => {
                said.clone()
            }
            Self::ReadOnly(_) => self.to_string(),
            other => other.to_string(),
        }
    }

    /// The same for people: a refusal because of missing tables says what to do.
    #[must_use]
    pub fn with_advice(self) -> Self {
        let is_missing = |text: &str| {
            ["no such table", "doesn't exist", "does not exist"].iter().any(|missing| text.contains(missing))
        };
        match self {
            Self::Refused(text) if text.contains("sexton_") && is_missing(&text) => Self::NoTables(text),
            other => other,
        }
    }

    /// Whether it helps to wait.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::ReadOnly(_) | Self::Misconfigured(_) | Self::Exhausted | Self::Conflict(_)
        )
    }

    /// Whether the configuration of the database has to be changed, or the database itself.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Misconfigured(_) | Self::InvalidUrl(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) => Self::Exhausted,
            // A session that cannot be opened, for whatever reason: the operator of the server may change it.
            DbErr::Conn(_) => match OpenFailure::of(&error) {
                Some(failure) if failure.is_refusal => Self::Misconfigured(failure.text.clone()),
                Some(failure) => Self::Unavailable(failure.text.clone()),
                None => Self::Unavailable(plain(&error)),
            },
            DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
                let said = cause_of(cause);
                match class(cause) {
                    Class::Outage => Self::Unavailable(said),
                    Class::ReadOnly => Self::ReadOnly(format!("{}: {said}", why_read_only(cause))),
                    Class::Conflict => Self::Conflict(said),
                    Class::SchemaMissing | Class::Refusal => Self::Refused(said),
                }
            }
            _ => Self::Refused(plain(&error)),
        }
    }
}

/// What a read-only database may be, in brackets.
fn why_read_only(error: &sqlx::Error) -> &'static str {
    let sqlx::Error::Database(said) = error else { return "(a standby?)" };
    match said.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
        Some(_) => "(its file, or the file system?)",
        None => "(a standby?)",
    }
}

/// What a refusal is about, by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementRefusal {
    /// The role lacks a right.
    Denied,
    /// A table or a column is missing.
    Missing,
    /// Anything else.
    Other,
}

impl StatementRefusal {
    /// What an error of a statement is about; none if it is no refusal.
    pub fn of(error: &DbErr) -> Option<Self> {
        use sqlx::mysql::MySqlDatabaseError;
        let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
            return None;
        };
        let sqlx::Error::Database(said) = &**cause else { return None };
        let is_denied = match said.try_downcast_ref::<MySqlDatabaseError>() {
            Some(said) => error_class::mysql_denies(said.number()),
            None => said.code().is_some_and(|code| error_class::postgres_denies(&code)),
        };
        match class(cause) {
            _ if is_denied => Some(Self::Denied),
            Class::SchemaMissing => Some(Self::Missing),
            Class::Refusal => Some(Self::Other),
            Class::Outage | Class::ReadOnly | Class::Conflict => None,
        }
    }
}

/// Whether PostgreSQL could not build an answer because of its size.
pub(super) fn is_beyond_memory(error: &DbErr) -> bool {
    let DbErr::Query(RuntimeErr::SqlxError(cause)) = error else { return false };
    let sqlx::Error::Database(said) = &**cause else { return false };
    said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
        && said.code().is_some_and(|code| error_class::postgres_is_beyond_memory(&code))
}

/// Why a session could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct OpenFailure {
    /// The problem, in one sentence.
    pub text: String,
    /// The database refuses the login or the file.
    pub is_refusal: bool,
}

impl OpenFailure {
    /// A failure that may pass.
    pub fn outage(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_refusal: false }
    }

    /// The failure that an error carries.
    fn of(error: &DbErr) -> Option<&Self> {
        match error {
            DbErr::Conn(RuntimeErr::SqlxError(cause)) => match &**cause {
                sqlx::Error::Configuration(inner) => inner.downcast_ref(),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<OpenFailure> for DbErr {
    fn from(failure: OpenFailure) -> Self {
        Self::Conn(RuntimeErr::SqlxError(std::sync::Arc::new(sqlx::Error::Configuration(Box::new(failure)))))
    }
}

impl From<&sqlx::Error> for OpenFailure {
    fn from(error: &sqlx::Error) -> Self {
        use sqlx::{mysql::MySqlDatabaseError, postgres::PgDatabaseError, sqlite::SqliteError};
        let is_refusal = match error {
            sqlx::Error::Database(said) => {
                let code = said.code().unwrap_or_default();
                if said.try_downcast_ref::<PgDatabaseError>().is_some() {
                    error_class::postgres_refuses_login(&code)
                } else if let Some(said) = said.try_downcast_ref::<MySqlDatabaseError>() {
                    error_class::mysql_refuses_login(said.number())
                } else {
                    said.try_downcast_ref::<SqliteError>().is_some()
                        && code.parse().is_ok_and(error_class::sqlite_refuses_file)
                }
            }
            _ => false,
        };
        Self { text: cause_of(error), is_refusal }
    }
}

const CLOSED: &str = "the server closed the connection";

/// What the database or the operating system said, without the driver's words around it.
pub fn cause_of(error: &sqlx::Error) -> String {
    match error {
        // MySQL's numbers are what its users search for. The others' words are clearer without codes and line numbers.
        sqlx::Error::Database(said) if said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().is_some() => {
            said.to_string()
        }
        sqlx::Error::Database(said) => said.message().to_owned(),
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        sqlx::Error::Io(error) => closed_or(error.to_string()),
        // No byte came instead of the first one.
        sqlx::Error::Protocol(said) if said.contains("SSLRequest: 0x00") => CLOSED.to_owned(),
        // The driver wraps its own errors in this one.
        sqlx::Error::Configuration(error) => error.downcast_ref().map_or_else(|| error.to_string(), cause_of),
        error => closed_or(error.to_string()),
    }
}

/// The text, unless TLS explains with an address in the documents of its library that the server is gone.
fn closed_or(text: String) -> String {
    if text.contains("close_notify") { CLOSED.to_owned() } else { text }
}

/// What an error of the driver means.
pub fn class(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(said) => of_database(&**said),
        sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::RowNotFound => Class::Refusal,
        _ => Class::Outage,
    }
}

fn of_database(said: &dyn sqlx::error::DatabaseError) -> Class {
    use sqlx::{mysql::MySqlDatabaseError, postgres, sqlite::SqliteError};
    let code = said.code().unwrap_or_default();
    if let Some(said) = said.try_downcast_ref::<postgres::PgDatabaseError>() {
        let is_fatal = matches!(said.severity(), postgres::PgSeverity::Fatal | postgres::PgSeverity::Panic);
        return error_class::postgres(&code, is_fatal);
    }
    if let Some(said) = said.try_downcast_ref::<MySqlDatabaseError>() {
        return error_class::mysql(said.number(), &code);
    }
    match (said.try_downcast_ref::<SqliteError>(), code.parse()) {
        (Some(_), Ok(code)) => error_class::sqlite(code),
        _ => Class::Refusal,
    }
}

/// Whether the error says that another process holds the SQLite file.
pub fn is_busy(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
        return false;
    };
    let sqlx::Error::Database(said) = &**cause else { return false };
    said.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() && class(cause) == Class::Conflict
}

/// The cause without SeaORM's prefixes.
fn plain(error: &DbErr) -> String {
    let text = error.to_string();
    ["Connection Error: ", "Execution Error: ", "Query Error: "]
        .iter()
        .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_within_tls_is_said_in_plain_words() {
        let said = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/manual";
        let end = || std::io::Error::other(said);
        for error in [sqlx::Error::Io(end()), sqlx::Error::Tls(Box::new(end()))] {
            assert_eq!(cause_of(&error), CLOSED);
        }
    }
}
