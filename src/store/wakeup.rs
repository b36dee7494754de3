//! Wake-ups between processes: NOTIFY on PostgreSQL, a poll of the file on SQLite, none on MySQL.
//!
//! A NOTIFY inside the enqueuing transaction would hold a database-wide lock through its commit and prevent group
//! commit, so it is sent after the commit in a transaction of its own.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant, SystemTime},
};

use sea_orm::{
    ConnectionTrait,
    sqlx::{
        Error,
        postgres::{PgListener, PgPoolOptions},
    },
};
use tokio::time::timeout;

use super::{
    ConnectOptions, Store, StoreError,
    connection::{on_driver, spawn_on_driver},
    dialect::Dialect,
    error::cause_of,
};
use crate::domain::schema_name::SchemaName;

/// The channel on PostgreSQL. A channel belongs to a whole database, so another schema has a channel of its own: this
/// name, an underscore, and the name of the schema.
const CHANNEL: &str = "sexton_wakeup";
/// The schema whose channel is [`CHANNEL`], as if none were set.
const DEFAULT_SCHEMA: &str = "public";
/// How often SQLite's write-ahead log is checked. A check is one system call, not a statement.
const FILE_POLL_INTERVAL: Duration = Duration::from_millis(8);

/// A listener that heard nothing for this long asks whether the server is still there.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the server may take to answer the listener.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

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
    fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Later => "later",
            Self::Cancel => "cancel",
            Self::Anything => "",
        }
    }
}

/// Waits for the wake-ups of other processes.
#[derive(Debug)]
pub enum WakeupListener {
    /// PostgreSQL sends them.
    Postgres(Box<ServerListener>),
    /// SQLite's write-ahead log changes with each write of any process.
    File {
        /// The path of the write-ahead log.
        path: PathBuf,
        /// Its last known modification time and size.
        seen: Option<(SystemTime, u64)>,
    },
    /// There are none: the node polls.
    Silent,
}

/// A session that listens. Its socket has no other traffic, so that the loss of the server would not show.
#[derive(Debug)]
pub struct ServerListener {
    session: PgListener,
    channel: String,
    /// When the server last said something.
    heard: Instant,
    /// Since when it owes an answer to the question whether it is still there.
    asked: Option<Instant>,
}

impl Store {
    /// Wakes the other processes. A lost wake-up does no harm, because they also poll.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn wake(&self, wakeup: Wakeup) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            // A NOTIFY takes a transaction id, so its commit would wait until the log is flushed. There is nothing in it
            // that must survive.
            let sql = "SELECT set_config('synchronous_commit', 'off', true) AS unflushed, \
                       CAST(pg_notify(?, ?) AS text) AS done";
            self.one(&self.db, sql, [self.channel().into(), wakeup.word().into()]).await?;
        }
        Ok(())
    }

    /// Runs something on the thread of the database sockets, which outlives every runtime. The receiver hears of its end.
    pub fn spawn_on_driver(&self, work: impl Future<Output = ()> + Send + 'static) -> Receiver<()> {
        let (done, is_done) = sync_channel(1);
        spawn_on_driver(async move {
            work.await;
            let _ = done.send(());
        });
        is_done
    }

    /// The channel of this database and schema.
    fn channel(&self) -> String {
        match self.own_schema() {
            Some(schema) => format!("{CHANNEL}_{schema}"),
            None => CHANNEL.to_owned(),
        }
    }

    /// The schema, if it is set to another one than the default.
    fn own_schema(&self) -> Option<&SchemaName> {
        self.db.sessions().target().schema().filter(|schema| schema.as_str() != DEFAULT_SCHEMA)
    }

    /// Starts listening for wake-ups.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn listen(&self, options: &ConnectOptions) -> Result<WakeupListener, StoreError> {
        match self.dialect {
            Dialect::Postgres => {
                // A pooler would give the session to others: LISTEN needs a direct way. Without one, the node polls.
                let direct = self.direct_target(options)?;
                match direct.and_then(|target| target.to_listen()) {
                    None => Ok(WakeupListener::Silent),
                    Some(server) => {
                        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(LISTEN_TIMEOUT);
                        on_driver(async {
                            let mut session =
                                PgListener::connect_with(&pool.connect_lazy_with(server)).await.map_err(unavailable)?;
                            let channel = self.channel();
                            answered(session.listen(&channel)).await?;
                            let listener = ServerListener { session, channel, heard: Instant::now(), asked: None };
                            Ok(WakeupListener::Postgres(Box::new(listener)))
                        })
                        .await
                    }
                }
            }
            Dialect::Sqlite => Ok(match options.sqlite_file() {
                Some(file) => {
                    let mut path = file.into_os_string();
                    path.push("-wal");
                    WakeupListener::File { path: path.into(), seen: None }
                }
                None => WakeupListener::Silent,
            }),
            Dialect::MySql => Ok(WakeupListener::Silent),
        }
    }

    /// Creates or removes the PostgreSQL trigger that sends a wake-up for each plain SQL insert. It prevents group
    /// commit, so it is a setting. Other databases need nothing.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn notify_on_insert(&self, wanted: bool) -> Result<(), StoreError> {
        if self.dialect != Dialect::Postgres {
            return Ok(());
        }
        let known = "SELECT CAST(count(*) AS bigint) AS triggers FROM pg_trigger WHERE tgname = 'sexton_task_wakeup' \
                     AND tgrelid = to_regclass('sexton_task')";
        let is_there = self.one(&self.db, known, []).await?.try_get::<i64>("", "triggers")? > 0;
        let sql = match (wanted, is_there) {
            (true, false) if self.own_schema().is_some() => {
                "CREATE OR REPLACE FUNCTION sexton_wakeup() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_notify('sexton_wakeup_' || TG_TABLE_SCHEMA, ''); RETURN NULL; END $$; \
                 CREATE OR REPLACE TRIGGER sexton_task_wakeup AFTER INSERT ON sexton_task \
                 FOR EACH STATEMENT EXECUTE FUNCTION sexton_wakeup()"
            }
            (true, false) => {
                "CREATE OR REPLACE FUNCTION sexton_wakeup() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_notify('sexton_wakeup', ''); RETURN NULL; END $$; \
                 CREATE OR REPLACE TRIGGER sexton_task_wakeup AFTER INSERT ON sexton_task \
                 FOR EACH STATEMENT EXECUTE FUNCTION sexton_wakeup()"
            }
            (false, true) => {
                "DROP TRIGGER IF EXISTS sexton_task_wakeup ON sexton_task; DROP FUNCTION IF EXISTS sexton_wakeup()"
            }
            _ => return Ok(()),
        };
        self.with_retries(async || Ok(self.db.execute_unprepared(sql).await.map(|_| ())?)).await
    }
}

impl WakeupListener {
    /// Whether each enqueue of another process causes a wake-up, plain SQL included, so that polling is hardly needed.
    pub fn hears_all(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Waits for the next wake-up. Without wake-ups it never returns. It may be given up and called again: nothing is
    /// lost.
    ///
    /// # Errors
    /// If the connection to PostgreSQL is lost and cannot be restored, or the server is silent.
    pub async fn wait(&mut self) -> Result<Wakeup, StoreError> {
        match self {
            Self::Postgres(listener) => on_driver(listener.wait()).await,
            Self::File { path, seen } => loop {
                tokio::time::sleep(FILE_POLL_INTERVAL).await;
                let state = std::fs::metadata(&*path).ok().and_then(|file| Some((file.modified().ok()?, file.len())));
                if state != *seen {
                    *seen = state;
                    return Ok(Wakeup::Anything);
                }
            },
            Self::Silent => std::future::pending().await,
        }
    }
}

impl ServerListener {
    async fn wait(&mut self) -> Result<Wakeup, StoreError> {
        // The caller gives up sooner than this: what counts is how long the server has been silent in all.
        let patience = SILENCE.saturating_sub(self.heard.elapsed());
        let wakeup = match timeout(patience, self.session.try_recv()).await {
            // A server that went away without a word would be listened to for ever.
            Err(_) => {
                if self.asked.get_or_insert_with(Instant::now).elapsed() >= LISTEN_TIMEOUT {
                    return Err(silent());
                }
                answered(self.session.listen(&self.channel)).await?;
                Wakeup::Anything
            }
            Ok(Ok(Some(notification))) => match notification.payload() {
                "now" => Wakeup::Now,
                "later" => Wakeup::Later,
                "cancel" => Wakeup::Cancel,
                _ => Wakeup::Anything,
            },
            // The connection was lost and restored; wake-ups in between are unknown.
            Ok(Ok(None)) => Wakeup::Anything,
            Ok(Err(error)) => return Err(unavailable(error)),
        };
        (self.heard, self.asked) = (Instant::now(), None);
        Ok(wakeup)
    }
}

fn silent() -> StoreError {
    StoreError::Unavailable("the server does not answer the listener".to_owned())
}

fn unavailable(error: Error) -> StoreError {
    StoreError::Unavailable(cause_of(&error))
}

/// Waits for an answer to the listener.
async fn answered(asked: impl Future<Output = Result<(), Error>>) -> Result<(), StoreError> {
    match timeout(LISTEN_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(unavailable),
        Err(_) => Err(silent()),
    }
}
