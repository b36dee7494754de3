//! Wake-ups for other processes: NOTIFY on PostgreSQL. Elsewhere the nodes notice by themselves.
//!
//! A NOTIFY inside the enqueuing transaction would hold a database-wide lock through its commit and prevent group
//! commit, so it is sent after the commit in a transaction of its own.

use super::{StoreError, TaskStore, dialect::Dialect};
use crate::domain::schema_name::SchemaName;

/// The channel on PostgreSQL. A channel belongs to a whole database, so another schema has a channel of its own: this
/// name, an underscore, and the name of the schema.
const CHANNEL: &str = "sexton_wakeup";
/// The schema whose channel is [`CHANNEL`], as if none were set.
const DEFAULT_SCHEMA: &str = "public";
/// The reason of a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// A task is available.
    Now,
    /// A task was enqueued for later.
    Later,
    /// A running task is to be cancelled.
    Cancel,
    /// Unknown: anything may have changed.
    Anything,
}

impl Wakeup {
    /// What PostgreSQL sends for it.
    fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
            Self::Cancel => "cancel",
            Self::Anything => "",
        }
    }

    /// What a word stands for that PostgreSQL has sent.
    pub fn from_word(word: &str) -> Self {
        match word {
            "now" => Self::Now,
            "later" => Self::Later,
            "cancel" => Self::Cancel,
            _ => Self::Anything,
        }
    }
}

impl TaskStore {
    /// Wakes the other processes. A lost wake-up does no harm, because they also poll.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn wake(&self, wakeup: Wakeup) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            let sql = "SELECT CAST(pg_notify(?, ?) AS text) AS done";
            self.one(&self.db, sql, [self.channel().into(), wakeup.word().into()]).await?;
        }
        Ok(())
    }

    /// The channel of this database and schema.
    pub fn channel(&self) -> String {
        match self.own_schema() {
            Some(schema) => format!("{CHANNEL}_{schema}"),
            None => CHANNEL.to_owned(),
        }
    }

    /// The schema, if it is set to another one than the default.
    pub fn own_schema(&self) -> Option<&SchemaName> {
        self.db.sessions().target().schema().filter(|schema| schema.as_str() != DEFAULT_SCHEMA)
    }
}
