//! The wake-up between processes: PostgreSQL's NOTIFY, a look at SQLite's files, and nothing on MySQL.
//!
//! A NOTIFY inside the enqueuing transaction would take a database-wide lock through its commit and end group
//! commit, so it is sent after the commit, on its own.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use sea_orm::{ConnectionTrait, sqlx::postgres::PgListener};

use super::{ConnectOptions, Store, StoreError, connection::on_driver, dialect::Dialect};

/// PostgreSQL's channel.
const CHANNEL: &str = "sexton_wakeup";
/// How often SQLite's log is looked at. A look is one system call, not a statement.
const FILE_POLL_INTERVAL: Duration = Duration::from_millis(8);

/// What there is to wake up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// A task is available.
    Now,
    /// A task was enqueued for later.
    Later,
    /// A running task is to be cancelled.
    Cancel,
    /// Something changed; look at everything.
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
    /// PostgreSQL tells.
    Postgres(Box<PgListener>),
    /// SQLite's write-ahead log changes when anybody writes.
    File {
        /// The log.
        path: PathBuf,
        /// How it looked last.
        seen: Option<(SystemTime, u64)>,
    },
    /// Nobody tells: polling is all there is.
    Silent,
}

impl Store {
    /// Wakes the other processes. Cheap, and lost without harm: they poll as well.
    pub async fn wake(&self, wakeup: Wakeup) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            let sql = "SELECT CAST(pg_notify(?, ?) AS text) AS done";
            self.one(&self.db, sql, [CHANNEL.into(), wakeup.word().into()]).await?;
        }
        Ok(())
    }

    /// Begins to listen.
    pub async fn listen(&self, options: &ConnectOptions) -> Result<WakeupListener, StoreError> {
        match self.dialect {
            Dialect::Postgres => {
                let unavailable = |error: sea_orm::sqlx::Error| StoreError::Unavailable(error.to_string());
                let pool = self.db.pool().get_postgres_connection_pool();
                let mut listener = on_driver(PgListener::connect_with(pool)).await.map_err(unavailable)?;
                listener.listen(CHANNEL).await.map_err(unavailable)?;
                Ok(WakeupListener::Postgres(Box::new(listener)))
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

    /// Makes PostgreSQL send a wake-up for each plain SQL insert, or no longer. It costs group commit, so it is
    /// a setting. Elsewhere there is nothing to do.
    pub async fn notify_on_insert(&self, wanted: bool) -> Result<(), StoreError> {
        if self.dialect != Dialect::Postgres {
            return Ok(());
        }
        let known = "SELECT CAST(count(*) AS bigint) AS triggers FROM pg_trigger WHERE tgname = 'sexton_task_wakeup' \
                     AND tgrelid = to_regclass('sexton_task')";
        let is_there = self.one(&self.db, known, []).await?.try_get::<i64>("", "triggers")? > 0;
        let sql = match (wanted, is_there) {
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
    /// Whether every enqueue of another process is heard of at once, plain SQL included, so that polling is
    /// hardly needed.
    pub fn hears_all(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Waits until there is something. On a silent database it never ends.
    pub async fn wait(&mut self) -> Result<Wakeup, StoreError> {
        match self {
            Self::Postgres(listener) => match on_driver(listener.try_recv()).await {
                Ok(Some(notification)) => Ok(match notification.payload() {
                    "now" => Wakeup::Now,
                    "later" => Wakeup::Later,
                    "cancel" => Wakeup::Cancel,
                    _ => Wakeup::Anything,
                }),
                // The connection was lost and is made anew: what was told meanwhile is not known.
                Ok(None) => Ok(Wakeup::Anything),
                Err(error) => Err(StoreError::Unavailable(error.to_string())),
            },
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
