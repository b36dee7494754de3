//! Startup: wait for the database, and update its tables.

use std::time::{Duration, Instant};

use sexton_client::principal::Principal;
use sexton_entities::states::Via;

use super::{
    reload::{self, Loader, quiet_deed},
    requests::{Reply, Request, Requests},
    status::{DaemonStatus, Phase},
};
use crate::{
    clock::Clock,
    config::{Config, Pooler},
    daemon::state::audit_trail,
    domain::text::{duration, plural::counted, redact::redacted},
    service::notify,
    store::{ConnectOptions, Store, StoreError},
};

/// Delay between two tries to reach the database.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// A lasting outage is logged this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What is known about the wait for the database.
struct Trouble {
    /// When it was logged last; none if there was no need to wait.
    logged: Option<Instant>,
    /// The daemon replaces one that worked before.
    is_successor: bool,
}

/// Returns the store once the database answers and has its tables; none if the daemon was asked to stop before that.
///
/// A configuration that is reloaded meanwhile may name another database. A login that the database refuses is an outage
/// only for a daemon that replaces one that worked before (`is_successor`).
pub(in crate::daemon) async fn database(
    config: &mut Config,
    loader: &Loader,
    clock: &Clock,
    status: &DaemonStatus,
    requests: &mut Requests,
    is_successor: bool,
) -> anyhow::Result<Option<(Store, ConnectOptions)>> {
    let mut trouble = Trouble { logged: None, is_successor };
    loop {
        let options = ConnectOptions {
            max_connections: config.database.max_connections,
            acquire_timeout: config.database.acquire_timeout,
            // After an outage, what hung in it ends within about a lease.
            statement_timeout: config.daemon.statement_timeout(),
            is_pooled: config.database.pooler == Pooler::Transaction,
            direct_url: config.database.direct_url.clone(),
            max_payload: config.daemon.max_payload,
            schema: config.database.schema.clone(),
            ..ConnectOptions::new(config.database.url.clone())
        };
        let store = Store::connect(&options)?.acting(Principal::of_this_process(Via::Daemon));
        let request = {
            let mut connecting = std::pin::pin!(connect(&store, &options, config, clock, status, &mut trouble));
            loop {
                let request = tokio::select! {
                    ready = &mut connecting => {
                        ready?;
                        break None;
                    }
                    request = requests.next() => request,
                };
                match request {
                    Some(Request::Quiet { quiet, by }) => {
                        audit_trail::log(&by, &quiet_deed("this node", status.is_quiet(), quiet));
                        status.set_quiet(quiet);
                    }
                    Some(Request::LogRunning) => tracing::info!("{}", status.line()),
                    // The tables may be being updated: that must not be interrupted.
                    Some(Request::Reload { reply, .. }) if status.phase() == Phase::Starting => refuse_reload(reply),
                    Some(Request::FilesChanged | Request::Deploy { .. }) => {}
                    request => break Some(request),
                }
            }
        };
        match request {
            None => return Ok(Some((store, options))),
            Some(Some(Request::Reload { reply, .. })) => {
                reload::answer(reply, reload::before_running(config, loader, status));
            }
            Some(_) => return Ok(None),
        }
    }
}

/// A reload that comes while the tables may be being updated.
pub(in crate::daemon) fn refuse_reload(reply: Option<Reply>) {
    let refused = "the daemon is still starting: try again in a few seconds";
    if reply.is_none() {
        tracing::warn!("no reload: {refused}");
    }
    reload::answer(reply, Err(refused.to_owned()));
}

/// Tries until the database can be used.
async fn connect(
    store: &Store,
    options: &ConnectOptions,
    config: &Config,
    clock: &Clock,
    status: &DaemonStatus,
    trouble: &mut Trouble,
) -> anyhow::Result<()> {
    loop {
        match ready(store, options, config, clock, status).await {
            Ok(()) => {
                if trouble.logged.is_some() {
                    let waited = duration::text(Duration::from_secs(status.age().as_secs().max(1)));
                    tracing::info!("the database answers: the start waited for it for {waited}");
                }
                return Ok(());
            }
            Err(error) if !error.is_outage() => return Err(error.into()),
            // The operator is there, and has to change something. A daemon that has run before waits: the password may
            // just be changing.
            Err(error) if error.is_configuration() && trouble.logged.is_none() && !trouble.is_successor => {
                return Err(anyhow::Error::from(error).context(redacted(&options.url)));
            }
            Err(error) => {
                status.enter(Phase::WaitingForDatabase, Some(error.to_string()));
                if trouble.logged.is_none() {
                    // As ready as the daemon can be by itself.
                    notify::ready(&status.line());
                }
                if trouble.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                    trouble.logged = Some(Instant::now());
                    tracing::warn!("{}: {error}; trying again every second", redacted(&options.url));
                }
            }
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Checks that the database can be used, and updates its tables.
async fn ready(
    store: &Store,
    options: &ConnectOptions,
    config: &Config,
    clock: &Clock,
    status: &DaemonStatus,
) -> Result<(), StoreError> {
    Store::probe(options).await?;
    status.enter(Phase::Starting, None);
    if config.database.migrate {
        let applied = store.migrate(options).await?;
        if !applied.is_empty() {
            tracing::info!("the tables are up to date: applied {}", counted(applied.len(), "migration step"));
        }
    } else if store.migration_status().await?.iter().any(|step| !step.applied) {
        let problem = "the tables are not up to date, and database.migrate is false: run `sexton db migrate` first";
        return Err(StoreError::Refused(problem.to_owned()));
    }
    // What earlier daemons left on disk is applied only to their own database.
    store.database_id().await?;
    // Before the first module runs: a schedule must not fire by a wrong clock.
    store.set_clock(clock).await?;
    store.notify_on_insert(config.database.notify_on_insert).await
}
