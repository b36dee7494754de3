//! `node`: registers the node, and keeps its lease by heartbeats. When the lease cannot be kept, it stops what must never
//! run twice at once, before the lease is over. When the database answers again, it asks whether the node's claims still
//! hold, and stops only what other nodes were given.
//!
//! Settings: `daemon.heartbeat` (10s) is the interval, `daemon.lease` (30s) the length of the lease, `on_lease_lost` (by
//! the limits) of a task, a queue or `[daemon]`, `daemon.name`. Logs when the lease is lost and kept again, and what it
//! stops.

mod lease_watch;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use self::lease_watch::LeaseWatch;

use crate::{
    clock::uptime,
    daemon::{
        components::node_state,
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            all_paused::AllPaused,
            config_in_force::ConfigInForce,
            latest_outlook::LatestOutlook,
            lease::Lease,
            module_status::ModuleStatuses,
            this_node::NodeIdentity,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        daemon::lease::Grant,
        identity::ModuleName,
        task::claim::Claim,
        text::{duration, plural::counted},
    },
    handler::StopReason,
    shepherd::{LeaseFiles, NodeDir, Shepherds},
    store::{Heartbeat, Store, StoreError, Wakeup},
};

/// Minimum time that a heartbeat waits for its answer, however short the lease.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the questions for cancel requests and for a pause may take.
const CANCELS_TIMEOUT: Duration = Duration::from_secs(2);
/// Every sixth heartbeat also asks for the database's time, if the dispatcher has not.
const CLOCK_EVERY: u64 = 6;

/// What the module needs of the daemon.
#[derive(Clone)]
pub(super) struct NodeParts {
    pub(super) identity: NodeIdentity,
    pub(super) in_flight: InFlight,
    pub(super) lease: Arc<Lease>,
    pub(super) lease_files: LeaseFiles,
    pub(super) shepherds: Shepherds,
    pub(super) in_force: ConfigInForce,
    pub(super) statuses: ModuleStatuses,
    pub(super) wakers: Wakers,
    pub(super) all_paused: AllPaused,
    pub(super) outlook: LatestOutlook,
    /// A connection of its own: whatever the pool waits for, the lease is kept.
    pub(super) store: Store,
}

pub(super) struct NodeModule {
    parts: NodeParts,
    beats: u64,
    /// Runs beside the heartbeats, on the thread of this module.
    watch: Option<JoinHandle<()>>,
}

#[async_trait(?Send)]
impl DaemonModule for NodeModule {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.watch.get_or_insert_with(|| {
            let watch = LeaseWatch::new(self.parts.in_flight.clone(), self.parts.in_force.clone());
            actix_rt::spawn(watch.run())
        });
        let begun = self.begin(context).await;
        if let Some(error) = begun.as_ref().err().filter(|error| error.is_outage()) {
            self.parts.lease.note_silence(error.to_string());
        }
        Ok(begun?)
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let limit = context.config().daemon.lease.max(MIN_TIMEOUT);
        let asked_at = uptime();
        let beaten = tokio::time::timeout(limit, self.beat(context))
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {} ms", limit.as_millis()))));
        if let Some(error) = beaten.as_ref().err().filter(|error| error.is_outage()) {
            self.parts.lease.note_failed_heartbeat(asked_at, error.to_string());
        }
        beaten?;
        if let Some(silence) = self.parts.lease.end_silence() {
            let silence = duration::text(Duration::from_secs(silence.as_secs().max(1)));
            tracing::info!("the database answers again: it was away for {silence}");
        }
        self.obey_cancels(context).await;
        self.notice_pause(context).await;
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(context.config().daemon.heartbeat))
    }
}

impl NodeModule {
    pub(super) fn new(parts: NodeParts) -> Self {
        Self { parts, beats: 0, watch: None }
    }

    /// Corrects the clock, and registers the node.
    async fn begin(&self, context: &ModuleContext) -> Result<(), StoreError> {
        self.parts.store.set_clock(context.clock()).await?;
        self.register(context).await
    }

    async fn beat(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let (store, parts) = (&self.parts.store, &self.parts);
        self.beats += 1;
        let beat = self.heartbeat(context);
        if self.beats.is_multiple_of(CLOCK_EVERY) && !self.is_looked_after(context) {
            store.set_clock(context.clock()).await?;
        }
        let asked_at = uptime();
        let beside = store.heartbeat_beside(&beat).await?;
        let is_registered = beside.is_some();
        let others = match beside {
            Some(others) => others,
            None => {
                tracing::warn!("other nodes removed this one, because its lease had run out: registering again");
                self.register(context).await?;
                store.live_nodes_beside(&parts.identity.id).await?
            }
        };
        let is_alone = others == 0;
        // Only now that the database has the lease again, nobody else can be given a task of this node.
        if !is_registered || parts.lease.is_doubtful(beat.lease, asked_at) {
            self.confirm_claims(context).await?;
        }
        let was_over = parts.lease.left().is_some_and(|left| left.is_zero());
        let held_back = parts.lease.holds_back();
        let is_first = parts.lease.grant().is_none();
        let grant = Grant { asked_at, length: beat.lease, is_alone };
        parts.lease.renew(grant);
        parts.lease_files.renew(parts.shepherds.existing_node_dir().as_deref().map(NodeDir::path), &grant);
        if held_back {
            parts.in_flight.wake_waiting();
        }
        if is_first {
            // It waits for the lease, and the dispatcher waits for it.
            parts.wakers.wake(&ModuleName::ADOPTER, WakeReason::Requested);
        }
        if was_over {
            tracing::info!("the lease is kept again");
            parts.wakers.announce(Wakeup::Anything);
        }
        Ok(())
    }

    /// Whether the dispatcher has asked for the time and for a pause since the heartbeat before the last one.
    fn is_looked_after(&self, context: &ModuleContext) -> bool {
        self.parts.outlook.fresh(context.config().daemon.heartbeat * 2).is_some()
    }

    /// Stops the attempts for which a cancel was requested. This reads the table of tasks, in which others may hold
    /// locks: the lease does not depend on it.
    async fn obey_cancels(&self, context: &ModuleContext) {
        let NodeParts { identity, in_flight, .. } = &self.parts;
        if in_flight.counts().running == 0 {
            return;
        }
        let limit = CANCELS_TIMEOUT.min(context.config().daemon.lease / 4);
        match tokio::time::timeout(limit, context.store().cancel_requests(&identity.id)).await {
            Ok(Ok(cancelled)) if !cancelled.is_empty() => {
                in_flight.stop(Some(&cancelled), StopReason::Cancelled, None);
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!("cannot read the cancel requests: {error}"),
            Err(_) => tracing::debug!("cannot read the cancel requests: no answer within {} ms", limit.as_millis()),
        }
    }

    /// Asks whether everything is paused, for the status. The claim asks by itself.
    async fn notice_pause(&self, context: &ModuleContext) {
        if self.is_looked_after(context) {
            return;
        }
        let limit = CANCELS_TIMEOUT.min(context.config().daemon.lease / 4);
        match tokio::time::timeout(limit, context.store().halt()).await {
            Ok(Ok(halt)) if self.parts.all_paused.note(halt.clone()) => {
                self.parts.wakers.wake(&ModuleName::DISPATCHER, WakeReason::Enqueued);
                if let Err(error) = context.store().remove_ended_maintenance().await {
                    tracing::debug!("cannot remove the maintenance that is over: {error}");
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!("cannot read whether everything is paused: {error}"),
            Err(_) => tracing::debug!("cannot read whether everything is paused: no answer in time"),
        }
    }

    /// Registers the node. No task could be claimed before that, so the modules look for work again.
    async fn register(&self, context: &ModuleContext) -> Result<(), StoreError> {
        self.parts.store.register(&self.heartbeat(context)).await?;
        self.parts.wakers.announce(Wakeup::Anything);
        self.parts.wakers.wake(&ModuleName::WAKEUP, WakeReason::Requested);
        self.parts.wakers.wake(&ModuleName::CONFIG_SYNC, WakeReason::Requested);
        Ok(())
    }

    /// Asks whether the claims of what runs or waits here still hold. What other nodes were given is given up.
    async fn confirm_claims(&self, context: &ModuleContext) -> Result<(), StoreError> {
        let in_flight = &self.parts.in_flight;
        let claims = in_flight.unfinished_claims();
        let held = context.store().held_claims(&self.parts.identity.id, &claims).await?;
        let lost: HashSet<Claim> =
            claims.into_iter().map(|identity| identity.claim).filter(|claim| !held.contains(claim)).collect();
        let given_up = in_flight.give_up(&lost);
        if given_up.stopped > 0 {
            let attempts = counted(given_up.stopped, "running attempt");
            tracing::warn!("other nodes were given tasks of this node while it had no lease: stopping {attempts}");
        }
        if given_up.dropped > 0 {
            let tasks = counted(given_up.dropped, "task");
            tracing::warn!("other nodes were given {tasks} that had not begun here");
        }
        Ok(())
    }

    fn heartbeat(&self, context: &ModuleContext) -> Heartbeat {
        let NodeIdentity { id, name, host } = &self.parts.identity;
        Heartbeat {
            id: id.clone(),
            name: name.clone(),
            host: host.clone(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            state: node_state(&self.parts.in_flight),
            lease: context.config().daemon.lease,
            modules: serde_json::to_value(self.parts.statuses.all()).unwrap_or_default(),
        }
    }
}

impl Drop for NodeModule {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
    }
}
