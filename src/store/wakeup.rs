//! Hearing the wake-ups of other processes: NOTIFY on PostgreSQL, changes of the file on SQLite, datagrams on MySQL.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectionTrait,
    sqlx::{
        Error,
        postgres::{PgListener, PgPoolOptions},
    },
};
use tokio::time::timeout;

pub use sexton_client::store::wakeup::Wakeup;
use sexton_client::store::wakeup_address::WakeupAddress;

use super::{
    ConnectOptions, DatagramListener, FileWatch, Store, StoreError, connection::on_driver, dialect::Dialect,
    error::cause_of,
};

/// A listener that heard nothing for this long asks whether the server is still there. Meanwhile the node polls.
const SILENCE: Duration = Duration::from_secs(45);
/// How long the server may take to answer the listener.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits for the wake-ups of other processes.
#[derive(Debug)]
pub enum WakeupListener {
    /// PostgreSQL sends them.
    Postgres(Box<ServerListener>),
    /// SQLite's write-ahead log changes with each write of any process.
    File(Box<FileWatch>),
    /// Processes that have read this node's address send datagrams.
    Datagrams(Box<DatagramListener>),
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
    /// Starts listening for wake-ups: for datagrams at that address, if the database itself sends none.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn listen(
        &self,
        options: &ConnectOptions,
        datagrams_at: Option<IpAddr>,
    ) -> Result<WakeupListener, StoreError> {
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
                Some(file) => WakeupListener::File(Box::new(FileWatch::of(file))),
                None => WakeupListener::Silent,
            }),
            Dialect::MySql => {
                let Some(ip) = datagrams_at else { return Ok(WakeupListener::Silent) };
                Ok(match DatagramListener::open(ip).await {
                    Ok(listener) => WakeupListener::Datagrams(Box::new(listener)),
                    Err(error) => {
                        tracing::warn!("cannot hear wake-ups at {ip} (database.wakeup_address), polling only: {error}");
                        WakeupListener::Silent
                    }
                })
            }
        }
    }

    /// Creates or removes the PostgreSQL triggers that send a wake-up for each plain SQL insert of a task or an event. They prevent group
    /// commit, so this is a setting. Other databases need nothing.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn notify_on_insert(&self, wanted: bool) -> Result<(), StoreError> {
        if self.dialect != Dialect::Postgres {
            return Ok(());
        }
        let known = "SELECT CAST(count(*) AS bigint) AS triggers FROM pg_trigger WHERE \
                     tgname IN ('sexton_task_wakeup', 'sexton_event_wakeup') \
                     AND tgrelid IN (to_regclass('sexton_task'), to_regclass('sexton_event'))";
        let found = self.one(&self.db, known, []).await?.try_get::<i64>("", "triggers")?;
        let sql = match (wanted, found) {
            (true, 0 | 1) if self.own_schema().is_some() => {
                "CREATE OR REPLACE FUNCTION sexton_wakeup() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_notify('sexton_wakeup_' || TG_TABLE_SCHEMA, ''); RETURN NULL; END $$; \
                 CREATE OR REPLACE TRIGGER sexton_task_wakeup AFTER INSERT ON sexton_task \
                 FOR EACH STATEMENT EXECUTE FUNCTION sexton_wakeup(); \
                 CREATE OR REPLACE FUNCTION sexton_event_wakeup() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_notify('sexton_wakeup_' || TG_TABLE_SCHEMA, 'events'); RETURN NULL; END $$; \
                 CREATE OR REPLACE TRIGGER sexton_event_wakeup AFTER INSERT ON sexton_event \
                 FOR EACH STATEMENT EXECUTE FUNCTION sexton_event_wakeup()"
            }
            (true, 0 | 1) => {
                "CREATE OR REPLACE FUNCTION sexton_wakeup() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_notify('sexton_wakeup', ''); RETURN NULL; END $$; \
                 CREATE OR REPLACE TRIGGER sexton_task_wakeup AFTER INSERT ON sexton_task \
                 FOR EACH STATEMENT EXECUTE FUNCTION sexton_wakeup(); \
                 CREATE OR REPLACE FUNCTION sexton_event_wakeup() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN PERFORM pg_notify('sexton_wakeup', 'events'); RETURN NULL; END $$; \
                 CREATE OR REPLACE TRIGGER sexton_event_wakeup AFTER INSERT ON sexton_event \
                 FOR EACH STATEMENT EXECUTE FUNCTION sexton_event_wakeup()"
            }
            (false, 1..) => {
                "DROP TRIGGER IF EXISTS sexton_task_wakeup ON sexton_task; \
                 DROP TRIGGER IF EXISTS sexton_event_wakeup ON sexton_event; DROP FUNCTION IF EXISTS sexton_wakeup(); \
                 DROP FUNCTION IF EXISTS sexton_event_wakeup()"
            }
            _ => return Ok(()),
        };
        self.with_retries(async || Ok(self.db.execute_unprepared(sql).await.map(|_| ())?)).await
    }
}

impl WakeupListener {
    /// Where it hears datagrams; none if it hears none.
    pub fn address(&self) -> Option<&WakeupAddress> {
        match self {
            Self::Datagrams(listener) => Some(listener.address()),
            _ => None,
        }
    }

    /// Whether each enqueue of another process causes a wake-up, plain SQL included, so that polling is hardly needed.
    pub fn hears_all(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Whether each change of a schedule in the database is noticed, plain SQL included: by a wake-up, or by the dispatcher's
    /// poll after it.
    pub fn hears_schedules(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::File(_))
    }

    /// Waits for the next wake-up. Without wake-ups it never returns. It may be given up and called again: nothing is
    /// lost.
    ///
    /// # Errors
    /// If the connection to PostgreSQL is lost and cannot be restored, or the server is silent.
    pub async fn wait(&mut self) -> Result<Wakeup, StoreError> {
        match self {
            Self::Postgres(listener) => on_driver(listener.wait()).await,
            Self::File(watch) => {
                watch.changed().await;
                // Whatever it is, the dispatcher's poll finds it.
                Ok(Wakeup::Now)
            }
            Self::Datagrams(listener) => Ok(listener.wait().await),
            Self::Silent => std::future::pending().await,
        }
    }
}

impl ServerListener {
    async fn wait(&mut self) -> Result<Wakeup, StoreError> {
        loop {
            // The caller gives up sooner than this: what counts is how long the server has been silent in all.
            let patience = SILENCE.saturating_sub(self.heard.elapsed());
            let wakeup = match timeout(patience, self.session.try_recv()).await {
                // A server that went away without a word would be listened to for ever.
                Err(_) => {
                    if self.asked.get_or_insert_with(Instant::now).elapsed() >= LISTEN_TIMEOUT {
                        return Err(silent());
                    }
                    answered(self.session.listen(&self.channel)).await?;
                    // The session is the same: nothing was lost.
                    (self.heard, self.asked) = (Instant::now(), None);
                    continue;
                }
                Ok(Ok(Some(notification))) => Wakeup::from_word(notification.payload()),
                // The connection was lost and restored; wake-ups in between are unknown.
                Ok(Ok(None)) => Wakeup::Anything,
                Ok(Err(error)) => return Err(unavailable(error)),
            };
            (self.heard, self.asked) = (Instant::now(), None);
            return Ok(wakeup);
        }
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
