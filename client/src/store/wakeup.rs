//! Wake-ups for other processes: NOTIFY on PostgreSQL, datagrams on MySQL and MariaDB. On SQLite the nodes notice by
//! themselves.
//!
//! A NOTIFY inside the enqueuing transaction holds a lock of the whole server through its commit. With many enqueues at a
//! time that would prevent group commit, so it is sent after the commit in a transaction of its own. The first enqueue
//! after a pause has it in its own statement, which saves a round trip.

use std::sync::mpsc::{Receiver, sync_channel};

use super::{StoreError, TaskStore, connection::driver, dialect::Dialect};
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
    /// A schedule in the database was added, changed or removed.
    Schedules,
    /// An event was sent.
    Events,
    /// Unknown: anything may have changed.
    Anything,
}

impl Wakeup {
    /// What is sent for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
            Self::Cancel => "cancel",
            Self::Schedules => "schedules",
            Self::Events => "events",
            Self::Anything => "",
        }
    }

    /// What a word stands for that was sent.
    pub fn from_word(word: &str) -> Self {
        match word {
            "now" => Self::Now,
            "later" => Self::Later,
            "cancel" => Self::Cancel,
            "schedules" => Self::Schedules,
            "events" => Self::Events,
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
        // The address of a node is a help, as the rest of a wake-up.
        if self.dialect == Dialect::MySql
            && let Err(error) = self.send_datagrams(wakeup).await
        {
            tracing::debug!("cannot read where the nodes hear wake-ups: {error}");
        }
        if self.dialect == Dialect::Postgres {
            // A NOTIFY takes a transaction id, so its commit would wait until the log is flushed. There is nothing in it
            // that must survive.
            let sql = "SELECT set_config('synchronous_commit', 'off', true) AS unflushed, \
                       CAST(pg_notify(?, ?) AS text) AS done";
            self.one(&self.db, sql, [self.channel().into(), wakeup.word().into()]).await?;
        }
        Ok(())
    }

    /// Whether an enqueue can wake the other processes by its own statement.
    pub fn wakes_by_enqueue(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// Runs something on the thread of the database sockets, which outlives every runtime. The receiver hears of its end.
    pub fn spawn_on_driver(&self, work: impl Future<Output = ()> + Send + 'static) -> Receiver<()> {
        let (done, is_done) = sync_channel(1);
        driver::spawn(async move {
            work.await;
            let _ = done.send(());
        });
        is_done
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
