//! The way up: wait for the database, bring its tables up to date.

use std::time::{Duration, Instant};

use super::{
    reload::{self, Loader},
    requests::{Call, Requests},
    signals::Order,
    status::{DaemonStatus, Phase},
};
use crate::{
    clock::Clock,
    config::Config,
    domain::text::redact::redacted,
    service::notify,
    store::{ConnectOptions, Store, StoreError},
};

/// Between two tries to reach the database.
const REST: Duration = Duration::from_secs(1);
/// A database that stays away is told of this often.
const TOLD: Duration = Duration::from_secs(60);

/// The store, once it answers and has its tables; none if the daemon was told to stop before that.
///
/// A configuration that is read anew in the meantime may name another database.
pub(in crate::daemon) async fn database(
    config: &mut Config,
    loader: &Loader,
    clock: &Clock,
    desk: &DaemonStatus,
    calls: &mut Requests,
) -> anyhow::Result<Option<(Store, ConnectOptions)>> {
    let mut told: Option<Instant> = None;
    loop {
        let options = ConnectOptions {
            max_connections: config.database.max_connections,
            acquire_timeout: config.database.acquire_timeout,
            ..ConnectOptions::new(config.database.url.clone())
        };
        let store = Store::connect(&options)?;
        let call = {
            let mut looking = std::pin::pin!(look(&store, &options, config, clock, desk, &mut told));
            loop {
                let call = tokio::select! {
                    ready = &mut looking => {
                        ready?;
                        break None;
                    }
                    call = calls.next() => call,
                };
                match call {
                    Some(Call::Order(Order::Quiet(quiet))) => desk.set_quiet(quiet),
                    Some(Call::Order(Order::Tell)) => tracing::info!("{}", desk.status_line()),
                    // Its tables may just be brought up to date: that is not to be cut short.
                    Some(Call::Reload(reply)) if desk.phase() == Phase::Starting => {
                        let _ = reply.send(Err("the daemon is still starting: try again in a moment".to_owned()));
                    }
                    Some(Call::Order(Order::Reload)) if desk.phase() == Phase::Starting => {
                        tracing::warn!("the daemon is still starting, and does not reload");
                    }
                    call => break Some(call),
                }
            }
        };
        match call {
            None => return Ok(Some((store, options))),
            Some(Some(Call::Order(Order::Reload))) => drop(reload::before_up(config, loader, desk)),
            Some(Some(Call::Reload(reply))) => drop(reply.send(reload::before_up(config, loader, desk))),
            Some(_) => return Ok(None),
        }
    }
}

/// Looks at the database until it can be worked with.
async fn look(
    store: &Store,
    options: &ConnectOptions,
    config: &Config,
    clock: &Clock,
    desk: &DaemonStatus,
    told: &mut Option<Instant>,
) -> anyhow::Result<()> {
    loop {
        match ready(store, options, config, clock, desk).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_outage() => return Err(error.into()),
            Err(error) => {
                desk.enter(Phase::WaitingForDatabase, Some(error.to_string()));
                if told.is_none() {
                    // Up, as far as it depends on the daemon.
                    notify::ready(&desk.status_line());
                }
                if told.is_none_or(|at| at.elapsed() >= TOLD) {
                    *told = Some(Instant::now());
                    tracing::warn!("{}: {error}; trying again every second", redacted(&options.url));
                }
            }
        }
        tokio::time::sleep(REST).await;
    }
}

/// Whether the database can be worked with. What is only away for now is an outage.
async fn ready(
    store: &Store,
    options: &ConnectOptions,
    config: &Config,
    clock: &Clock,
    desk: &DaemonStatus,
) -> Result<(), StoreError> {
    Store::probe(options).await?;
    desk.enter(Phase::Starting, None);
    if config.database.migrate {
        let applied = store.migrate(options).await?;
        if !applied.is_empty() {
            tracing::info!("the tables were brought up to date by {} steps", applied.len());
        }
    } else if store.migration_status().await?.iter().any(|step| !step.applied) {
        let problem = "the tables are not up to date, and database.migrate is off: run `sexton db migrate` first";
        return Err(StoreError::Refused(problem.to_owned()));
    }
    // Before the first module looks at it: a schedule must not fire by a wrong clock.
    store.set_clock(clock).await?;
    store.notify_on_insert(config.database.notify_on_insert).await
}
