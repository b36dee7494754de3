//! `node`: registers the node, and keeps its lease by heartbeats. When the lease cannot be kept, it interrupts the node's
//! own work, because other nodes take it over then.
//!
//! Settings: `daemon.heartbeat` (10s) is the interval, `daemon.lease` (30s) the length of the lease, `daemon.name`.
//! Logs a warning when the lease is lost, with the number of interrupted attempts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::{
    daemon::{
        components::node_state,
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{identity::NodeIdentity, lease::Lease, module_status::ModuleStatuses, wakers::Wakers},
    },
    domain::text::plural::counted,
    handler::StopReason,
    store::{Heartbeat, Store, StoreError, Wakeup},
};

/// Minimum time that a heartbeat waits for its answer, even at the end of a lease.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the question for cancel requests may take.
const CANCELS_TIMEOUT: Duration = Duration::from_secs(2);
/// Every sixth heartbeat also asks for the database's time.
const CLOCK_EVERY: u64 = 6;

/// What the module needs of the daemon.
#[derive(Clone)]
pub(super) struct NodeParts {
    pub(super) identity: NodeIdentity,
    pub(super) in_flight: InFlight,
    pub(super) lease: Arc<Lease>,
    pub(super) statuses: ModuleStatuses,
    pub(super) wakers: Wakers,
    /// A connection of its own: whatever the pool waits for, the lease is kept.
    pub(super) store: Store,
}

pub(super) struct NodeModule {
    parts: NodeParts,
    beats: u64,
}

#[async_trait(?Send)]
impl DaemonModule for NodeModule {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.give_up_expired_work();
        self.parts.store.set_clock(context.clock()).await?;
        self.register(context).await?;
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.give_up_expired_work();
        // A server that does not answer must not keep this node from noticing that its lease is over.
        let limit = self.parts.lease.left().unwrap_or(context.config().daemon.lease).max(MIN_TIMEOUT);
        match tokio::time::timeout(limit, self.beat(context)).await {
            Ok(result) => result?,
            Err(_) => return Err(StoreError::Unavailable(format!("no answer within {} ms", limit.as_millis())).into()),
        }
        self.obey_cancels(context).await;
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(context.config().daemon.heartbeat))
    }
}

impl NodeModule {
    pub(super) fn new(parts: NodeParts) -> Self {
        Self { parts, beats: 0 }
    }

    async fn beat(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        let (store, parts) = (&self.parts.store, &self.parts);
        self.beats += 1;
        if self.beats.is_multiple_of(CLOCK_EVERY) {
            store.set_clock(context.clock()).await?;
        }
        let beat = self.heartbeat(context);
        let asked_at = Instant::now();
        if !store.heartbeat(&beat).await? {
            tracing::warn!(
                "other nodes removed this one, because its lease had run out: interrupting what runs, and registering again"
            );
            self.give_up_work();
            self.register(context).await?;
        }
        let was_over = parts.lease.is_over();
        parts.lease.renew(asked_at, beat.lease);
        if was_over {
            parts.wakers.announce(Wakeup::Anything);
        }
        Ok(())
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

    /// Registers the node. No task could be claimed before that, so the modules look for work again.
    async fn register(&self, context: &ModuleContext) -> Result<(), StoreError> {
        self.parts.store.register(&self.heartbeat(context)).await?;
        self.parts.wakers.announce(Wakeup::Anything);
        Ok(())
    }

    /// Once the lease is over, other nodes take this one's tasks: to continue would do the work twice.
    fn give_up_expired_work(&self) {
        if self.parts.lease.is_over() {
            let stopped = self.give_up_work();
            if stopped > 0 {
                tracing::warn!(
                    "the lease ran out before it could be renewed: interrupting {}; other nodes may run the tasks again",
                    counted(stopped, "running attempt")
                );
            }
        }
    }

    /// Interrupts what runs, and drops what has not begun. Returns how many attempts were interrupted.
    fn give_up_work(&self) -> usize {
        let in_flight = &self.parts.in_flight;
        in_flight.remove(in_flight.take_waiting(Duration::ZERO));
        in_flight.stop(None, StopReason::Interrupted, None)
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
