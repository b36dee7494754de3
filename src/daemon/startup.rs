//! The way up: wait for the database, bring its tables up to date.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;

use super::signals::Order;
use crate::{
    config::Config,
    domain::address::redacted,
    store::{ConnectOptions, Store, StoreError},
};

/// Between two tries to reach the database.
const REST: Duration = Duration::from_secs(1);
/// A database that stays away is told of this often.
const TOLD: Duration = Duration::from_secs(60);

/// The store, once it answers and has its tables; none if the daemon was told to stop before that.
pub(super) async fn database(
    config: &Config,
    orders: &mut Receiver<Order>,
) -> anyhow::Result<Option<(Store, ConnectOptions)>> {
    let options = ConnectOptions {
        max_connections: config.database.max_connections,
        acquire_timeout: config.database.acquire_timeout,
        ..ConnectOptions::new(config.database.url.clone())
    };
    let store = Store::connect(&options)?;
    let mut told: Option<Instant> = None;
    loop {
        let ready = tokio::select! {
            ready = ready(&store, &options, config) => ready,
            order = orders.recv() => match order {
                Some(Order::Drain | Order::AtOnce) | None => return Ok(None),
                Some(_) => continue,
            },
        };
        match ready {
            Ok(()) => return Ok(Some((store, options))),
            Err(error) if !error.is_outage() => return Err(error.into()),
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() >= TOLD) {
                    told = Some(Instant::now());
                    tracing::warn!("{}: {error}; trying again every second", redacted(&options.url));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            order = orders.recv() => if matches!(order, Some(Order::Drain | Order::AtOnce) | None) {
                return Ok(None);
            },
        }
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
