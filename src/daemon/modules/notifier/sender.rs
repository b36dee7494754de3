//! Sends the notices that are written, each channel beside the others.

use std::{
    collections::BTreeMap,
    pin::pin,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use sexton_entities::notice;

use super::unrecorded::Unrecorded;
use crate::{
    config::Config,
    daemon::{fault_point::fault_point, module::ModuleContext},
    domain::{
        notice::{Facts, retry_delay},
        schedule::reason::shown,
        text::plural::counted,
    },
    notice::{Letter, SendError, Sender},
    store::{StoreError, Tried},
};

/// For how long a node may take to send what it has leased: each channel tries one notice after the other until one fails.
const LEASE: Duration = Duration::from_secs(180);
/// For how long a daemon that stops waits for the notices that are on their way.
const ENDING: Duration = Duration::from_secs(5);
/// How often a node that sends says that it has not hung.
const PROGRESS: Duration = Duration::from_secs(1);

/// A channel that sends nothing for this time is a problem.
const BROKEN_AFTER: TimeDelta = TimeDelta::minutes(15);

/// What became of the notices of a channel, for the summary and the log.
#[derive(Clone, Debug, Default)]
pub(super) struct ChannelRecord {
    pub(super) sent: u64,
    /// Why the last one was not sent.
    pub(super) failure: Option<String>,
    /// When that one was written.
    pub(super) failing_since: Option<DateTime<Utc>>,
}

impl ChannelRecord {
    /// That nothing was sent by the channel for so long that it is a problem.
    pub(super) fn trouble(&self, name: &str, now: DateTime<Utc>) -> Option<String> {
        let since = self.failing_since.filter(|since| now - *since >= BROKEN_AFTER)?;
        let why = self.failure.as_deref()?;
        Some(format!("notices by {name} cannot be sent since {}, and are tried for a day: {why}", shown(since)))
    }
}

/// Leases the next notices and sends them.
pub(super) async fn send_next(
    context: &ModuleContext,
    node: &str,
    records: &mut BTreeMap<String, ChannelRecord>,
    unrecorded: &Unrecorded,
) -> Result<(), StoreError> {
    let (store, config) = (context.store(), context.config());
    unrecorded.record_all(store, node).await?;
    let now = context.clock().now();
    let is_quiet = |period: &String| config.periods.get(period).is_some_and(|period| period.status(now).inside);
    let open = config.channels.iter().filter(|(_, channel)| !channel.quiet.as_ref().is_some_and(is_quiet));
    let names: Vec<String> = open.map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut by_channel: BTreeMap<String, Vec<notice::Model>> = BTreeMap::new();
    for notice in store.lease_notices(node, &names, LEASE).await? {
        by_channel.entry(notice.channel.clone()).or_default().push(notice);
        fault_point("notice leased");
    }
    let sending = by_channel.into_iter().map(|(name, notices)| {
        let config = &config;
        async move { (name.clone(), send_in_turn(context, config, (node, unrecorded), &name, &notices).await) }
    });
    let (mut sending, mut until) = (pin!(join_all(sending)), None);
    let results = loop {
        tokio::select! {
            results = &mut sending => break results,
            () = context.stopping().cancelled(), if until.is_none() => until = Some(Instant::now() + ENDING),
            () = tokio::time::sleep(PROGRESS) => context.progress(),
        }
        // What is not recorded then is sent once more, by the node that has the next lease.
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(());
        }
    };
    for (name, result) in results {
        let recorded = result.map(Some);
        let what = format!("what became of the notices by {name}");
        let Some((sent, failure)) = store.isolated().part(what.as_str(), recorded)? else { continue };
        let record = records.entry(name.clone()).or_default();
        record.sent += sent;
        match (&record.failure, &failure) {
            (None, Some((why, _))) => {
                tracing::warn!("cannot send a notice by {name}, and tries again for a day: {why}");
            }
            (Some(_), None) => tracing::info!("notices by {name} are sent again"),
            _ => {}
        }
        record.failing_since = failure.as_ref().map(|(_, at)| record.failing_since.map_or(*at, |known| known.min(*at)));
        record.failure = failure.map(|(why, _)| why);
    }
    Ok(())
}

/// Sends the notices of a channel until one fails. What is left waits for the next round.
async fn send_in_turn(
    context: &ModuleContext,
    config: &Config,
    (node, unrecorded): (&str, &Unrecorded),
    name: &str,
    notices: &[notice::Model],
) -> Result<(u64, Option<(String, DateTime<Utc>)>), StoreError> {
    let Some(channel) = config.channels.get(name) else { return Ok((0, None)) };
    let (store, mut sent, mut failure) = (context.store(), 0, None);
    // A receiver that says when it wants the next request gets none before.
    let mut rest = Duration::ZERO;
    let (begun, mut sender) = (Instant::now(), Sender::new(channel));
    for notice in notices {
        if unrecorded.contains(notice) {
            continue;
        }
        // Another try must end within the lease.
        let has_time = !context.stopping().is_cancelled() && begun.elapsed() + channel.timeout * 2 <= LEASE;
        if failure.is_some() || !has_time {
            store.return_notice(notice, node, rest).await?;
            continue;
        }
        match attempt(config, &mut sender, notice).await {
            Ok(()) => {
                sent += 1;
                fault_point("notice sent");
                unrecorded.record(store, node, notice).await?;
                fault_point("notice recorded");
            }
            Err(SendError { why, retry_after }) => {
                let delay = retry_delay(notice.attempts.unsigned_abs() + 1);
                rest = retry_after.unwrap_or_default();
                let delay = delay.max(rest);
                if store.record_notice(notice, node, &Tried::Failed(why.clone(), delay)).await? {
                    tracing::error!("gave up notice {} by {name}, which could not be sent for a day: {why}", notice.id);
                }
                failure = Some((why, notice.created_at));
            }
        }
    }
    sender.close().await;
    if sent > 0 {
        tracing::debug!("sent {} by {name}", counted(sent, "notice"));
    }
    Ok((sent, failure))
}

async fn attempt(config: &Config, sender: &mut Sender<'_>, notice: &notice::Model) -> Result<(), SendError> {
    let facts: Facts = notice.facts.decode().map_err(|error| SendError {
        why: format!("notice {} cannot be read: {error}", notice.id),
        retry_after: None,
    })?;
    let letter = Letter::new(&notice.notice_key, notice.about, facts, notice.created_at, config.daemon.zone());
    sender.send(&letter).await
}
