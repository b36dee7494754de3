//! `rescuer`: releases the tasks of nodes that died or lost their lease, and removes those nodes. After an outage of the
//! database it waits for one lease, so that nodes come back to their own tasks first.
//!
//! Settings: `daemon.max_pickups` and `task.NAME.max_pickups` (5); `daemon.lease` (30s) of the dead node decides when, and
//! this node's own after an outage. Logs how many tasks it rescued, that it waits, and the tasks that it discards because
//! they took down one node after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::{
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            config_in_force::ConfigInForce, latest_outlook::LatestOutlook, lease::Lease, milestones::Milestones,
            module_status::ModuleStatuses, wakers::Wakers,
        },
    },
    domain::{
        daemon::{lease::Contact, summary::SummaryTable},
        identity::{ModuleName, NodeId},
        text::{duration, plural::counted},
    },
    store::{StoreError, Wakeup},
};

/// Maximum time between two looks at the leases. A node with a short lease looks at each heartbeat at least.
const MAX_REST: Duration = Duration::from_secs(15);
/// How often it searches for tasks of nodes that have no row at all.
const SEARCH_INTERVAL: Duration = Duration::from_secs(60);
/// Delay while adopter and recorder have not completed a round: they go first.
const WAIT_FOR_OTHERS: Duration = Duration::from_millis(100);
/// Time after the end of a lease, so that it is over for the database, too.
const MARGIN: Duration = Duration::from_millis(20);

/// Number of tasks between two signs of progress.
const PORTION: usize = 500;
/// After this time a claimed task that is not in flight is lost.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What the module needs of the daemon.
#[derive(Clone)]
pub(super) struct RescuerParts {
    pub(super) node: NodeId,
    pub(super) in_flight: InFlight,
    pub(super) in_force: ConfigInForce,
    pub(super) lease: Arc<Lease>,
    pub(super) statuses: ModuleStatuses,
    pub(super) milestones: Arc<Milestones>,
    pub(super) wakers: Wakers,
    pub(super) outlook: LatestOutlook,
}

pub(super) struct Rescuer {
    parts: RescuerParts,
    searched: Option<Instant>,
    released_lost: Option<Instant>,
    /// It has looked for tasks in unknown states. That reads the whole table, so that it happens once.
    has_noted_states: bool,
    rest: Duration,
    rescued: u64,
    /// Tasks that took down one node after the other.
    discarded: u64,
    /// It has logged that it waits after an outage.
    is_waiting: bool,
}

#[async_trait(?Send)]
impl DaemonModule for Rescuer {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        // Attempts that an earlier daemon finished and could not record count if they are recorded before the rescue. Its
        // commands that still run are adopted before it.
        let recorder = self.parts.statuses.get(&ModuleName::RECORDER);
        if !self.parts.milestones.has_adopted() || recorder.is_none_or(|recorder| recorder.rounds == 0) {
            self.rest = WAIT_FOR_OTHERS;
            return Ok(());
        }
        if self.released_lost.is_none_or(|at| at.elapsed() >= LOST_AFTER) {
            self.released_lost = Some(Instant::now());
            // What runs nowhere is searched for if anything runs at all.
            if self.parts.outlook.fresh(LOST_AFTER * 2).is_none_or(|outlook| outlook.has_own) {
                self.parts.in_flight.release_lost(context.store(), LOST_AFTER).await?;
            }
        }
        if !self.has_noted_states {
            context.store().note_unknown_states().await?;
            self.has_noted_states = true;
        }
        let (lease, max_rest) = (context.config().daemon.lease, context.config().daemon.heartbeat.min(MAX_REST));
        let (told, age) = (self.parts.outlook.fresh(max_rest * 2), self.parts.outlook.age().unwrap_or_default());
        let until = match told.as_ref().and_then(|outlook| outlook.until_expiry(age)) {
            // A lease seems to be over: the database decides.
            Some(Some(Duration::ZERO)) | None => self.until_expiry(context, lease).await?,
            Some(until) => until,
        };
        if until.is_none() && self.searched.is_some() && told.is_some_and(|outlook| !outlook.has_foreign) {
            // There is no other node, and nothing runs that could be one's.
            self.searched = Some(Instant::now());
        }
        self.rest = until.map_or(max_rest, |until| (until + MARGIN).min(max_rest));
        let has_expired = until == Some(Duration::ZERO);
        let search_interval = (lease * 2).min(SEARCH_INTERVAL);
        if has_expired || self.searched.is_none_or(|at| at.elapsed() >= search_interval) {
            match self.parts.lease.rescue_delay(lease) {
                Some(Duration::ZERO) => {
                    self.is_waiting = false;
                    self.searched = Some(Instant::now());
                    self.rescue(context).await?;
                }
                delay => {
                    self.rest = delay.unwrap_or(max_rest).min(max_rest);
                    self.report_wait(has_expired, lease);
                }
            }
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(self.rest))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Rescuer", &["Rescued", "Discarded"], "No task had to be rescued.");
        if self.rescued + self.discarded > 0 {
            table.row([self.rescued, self.discarded].map(|count| count.to_string()));
        }
        vec![table]
    }
}

impl Rescuer {
    pub(super) fn new(parts: RescuerParts) -> Self {
        Self {
            parts,
            searched: None,
            released_lost: None,
            has_noted_states: false,
            rest: Duration::ZERO,
            rescued: 0,
            discarded: 0,
            is_waiting: false,
        }
    }

    /// The time until the next lease of another node ends. Notes if the database was away.
    async fn until_expiry(&self, context: &ModuleContext, lease: Duration) -> Result<Option<Duration>, StoreError> {
        let asked = Instant::now();
        let found = context.store().next_expiry(&self.parts.node).await;
        if Contact::is_slow(asked.elapsed(), lease) || found.as_ref().is_err_and(StoreError::is_outage) {
            self.parts.lease.note_away();
        }
        let (expiry, now) = found?;
        Ok(expiry.map(|expiry| (expiry - now).to_std().unwrap_or_default()))
    }

    /// Logs once that it waits with the tasks of a node whose lease is over.
    fn report_wait(&mut self, has_expired: bool, lease: Duration) {
        if has_expired && !self.is_waiting {
            self.is_waiting = true;
            tracing::info!(
                "the lease of another node is over, but the database was away: waiting {} for the node to come back before \
                 its tasks are released",
                duration::text(lease)
            );
        }
    }

    async fn rescue(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let (store, node) = (context.store(), &self.parts.node);
        loop {
            let orphans = store.orphans(node).await?;
            if orphans.is_empty() {
                break;
            }
            let (mut rescued, mut discarded) = (0, 0);
            for portion in orphans.chunks(PORTION) {
                let max_pickups = |name: &str| self.parts.in_force.max_pickups(name);
                let rescue = store.rescue(portion, "the node died or lost its lease", max_pickups).await?;
                rescued += rescue.released;
                discarded += rescue.discarded.len();
                for (claim, name, why) in &rescue.discarded {
                    tracing::error!(task.id = claim.task_id, "{name} is discarded: {why}");
                }
                context.progress();
            }
            // What is left now is refused, or has gone to another rescuer.
            if rescued + discarded == 0 {
                self.rest = context.config().daemon.heartbeat.min(MAX_REST);
                break;
            }
            if rescued > 0 {
                tracing::warn!("released {} of dead nodes", counted(rescued, "task"));
            }
            self.rescued += rescued as u64;
            self.discarded += discarded as u64;
            self.parts.wakers.announce(Wakeup::Anything);
            if discarded > 0 {
                self.parts.wakers.announce_problem();
            }
        }
        if store.remove_dead_nodes(node).await? > 0 {
            self.parts.wakers.announce_problem();
        }
        Ok(())
    }
}
