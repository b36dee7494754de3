//! What happens while the lease cannot be renewed, beside the heartbeats, which may hang: work that must never run twice
//! at once is stopped in time. The rule is in `domain::daemon::lease`.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::uptime,
    daemon::{
        inflight::InFlight,
        state::{config_in_force::ConfigInForce, lease::Lease},
    },
    domain::{
        daemon::lease::{Grant, OnLeaseLost},
        text::{duration, plural::counted},
    },
};

/// How often it looks while the lease is in doubt.
const TICK: Duration = Duration::from_millis(20);
/// Maximum time between two looks: a timer does not notice a suspend.
const MAX_REST: Duration = Duration::from_secs(5);
/// How often it looks for the first grant.
const WAIT_FOR_GRANT: Duration = Duration::from_millis(100);

/// Watches a lease.
pub(super) struct LeaseWatch {
    in_flight: InFlight,
    lease: Arc<Lease>,
    in_force: ConfigInForce,
    /// The grant whose end is logged already.
    reported: Option<Grant>,
}

impl LeaseWatch {
    pub(super) fn new(in_flight: InFlight, in_force: ConfigInForce) -> Self {
        let lease = in_flight.lease().clone();
        Self { in_flight, lease, in_force, reported: None }
    }

    /// Watches until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let rest = self.look(uptime());
            tokio::time::sleep(rest).await;
        }
    }

    /// Stops what must stop now. Returns the time until the next look.
    fn look(&mut self, now: Duration) -> Duration {
        let Some(grant) = self.lease.grant() else { return WAIT_FOR_GRANT };
        if now < grant.doubtful_at() {
            return (grant.doubtful_at() - now).min(MAX_REST);
        }
        self.stop_exclusive(&grant, now);
        if grant.is_over(now) && self.reported != Some(grant) {
            self.reported = Some(grant);
            self.report_end(&grant);
        }
        TICK
    }

    /// Stops what must never run twice at once, early enough to have ended before the lease does.
    fn stop_exclusive(&self, grant: &Grant, now: Duration) {
        let stopped = self.in_flight.stop_for_lease(|context| match self.in_force.on_lease_lost(context.task()) {
            OnLeaseLost::Finish => None,
            OnLeaseLost::Stop => grant.stop(now, context.definition().kill_after),
        });
        if stopped > 0 {
            tracing::warn!(
                "the lease cannot be renewed and ends in {}: stopping {}, because another node may take the same work then \
                 (on_lease_lost = \"stop\")",
                duration::text(Duration::from_millis(grant.left(now).as_millis() as u64)),
                counted(stopped, "running attempt"),
            );
        }
    }

    fn report_end(&self, grant: &Grant) {
        let running = counted(self.in_flight.counts().running, "running attempt");
        match grant.is_alone {
            true => tracing::warn!(
                "the lease ran out and cannot be renewed; there was no other node, so all work goes on ({running})"
            ),
            false => tracing::warn!(
                "the lease ran out and cannot be renewed: other nodes may take the tasks. {running} may finish; nothing new \
                 begins before the database answers"
            ),
        }
    }
}
