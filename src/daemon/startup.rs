//! The way up: wait for the database, bring its tables up to date.

use std::time::{Duration, Instant};

use super::{
    calls::{Call, Calls},
    desk::{Desk, Phase},
    reload::{self, Loader},
    signals::Order,
};
use crate::{
    config::Config,
    domain::address::redacted,
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
pub(super) async fn database(
    config: &mut Config,
    loader: &Loader,
    desk: &Desk,
    calls: &mut Calls,
) -> anyhow::Result<Option<(Store, ConnectOptions)>> {
    let mut told: Option<Instant> = None;
    loop {
        let options = ConnectOptions {
            max_connections: config.database.max_connections,
            acquire_timeout: config.database.acquire_timeout,
            ..ConnectOptions::new(config.database.url.clone())
        };
        let store = Store::connect(&options)?;
        let call = tokio::select! {
            ready = look(&store, &options, config, desk, &mut told) => return ready.map(|()| Some((store, options))),
            call = calls.next() => call,
        };
        match call {
            Some(Call::Order(Order::Drain | Order::Hurry | Order::AtOnce)) | None => return Ok(None),
            Some(Call::Order(Order::Reload)) => drop(reload::before_up(config, loader, desk)),
            Some(Call::Reload(reply)) => drop(reply.send(reload::before_up(config, loader, desk))),
            Some(Call::Order(Order::Quiet(_) | Order::Tell)) => {}
        }
    }
}

/// Looks at the database until it can be worked with.
async fn look(
    store: &Store,
    options: &ConnectOptions,
    config: &Config,
    desk: &Desk,
    told: &mut Option<Instant>,
) -> anyhow::Result<()> {
    loop {
        match ready(store, options, config).await {
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
async fn ready(store: &Store, options: &ConnectOptions, config: &Config) -> Result<(), StoreError> {
    Store::probe(options).await?;
    if config.database.migrate {
        let applied = store.migrate(options).await?;
        if !applied.is_empty() {
            tracing::info!("the tables were brought up to date by {} steps", applied.len());
        }
    } else if store.migration_status().await?.iter().any(|step| !step.applied) {
        let problem = "the tables are not up to date, and database.migrate is off: run `sexton db migrate` first";
        return Err(StoreError::Refused(problem.to_owned()));
    }
    store.notify_on_insert(config.database.notify_on_insert).await
}
