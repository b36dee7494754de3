//! `dispatcher`: claims as many tasks as this node has credits for.
//!
//! It polls the queues with free credits for available tasks, cheaply, and claims from those that have some. While a
//! queue has a backlog it claims without polling. Enqueues and free slots wake it. After the start it claims nothing
//! until the adopter has taken up what earlier daemons left running: that occupies slots. On PostgreSQL its first claim comes
//! before its first poll.
//!
//! When nothing comes, its poll also asks what other modules need (`state/latest_outlook.rs`), so that an idle node sends few
//! statements.
//!
//! Settings: `daemon.poll_interval` (250ms), where no process wakes the node down to a tenth of it while tasks come; when
//! idle after a quarter of the time since the last task, at the longest after 48 times the interval;
//! `queue.NAME.workers`, `limit`, `period` and `at_period_end`; `daemon.report_full_after`. Logs when a queue opens and
//! closes by its period, when it has had no free worker for a while, and when tasks wait in a queue that no node serves.

mod claims;
mod front_search;
mod key_searches;
mod pace;
mod polls;
mod queue_hours;
mod queue_watch;
mod token_waits;
mod unknown_names;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use self::{
    front_search::{FrontSearch, SEARCH},
    key_searches::KeySearches,
    queue_hours::{ClosedQueue, QueueHours},
    queue_watch::QueueWatch,
    token_waits::TokenWaits,
    unknown_names::UnknownNames,
};
use crate::{
    config::AtPeriodEnd,
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            all_paused::AllPaused,
            command_starts::CommandStarts,
            config_in_force::ConfigInForce,
            latest_outlook::LatestOutlook,
            milestones::Milestones,
            queue_troubles::UnservedQueues,
            rate_waits::RateWaits,
            unknown_tasks::UnknownTasks,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        identity::{NodeId, QueueName},
        task::names::TaskNames,
        text::plural::counted,
    },
};

/// How long the first claim waits for the lease.
const BEGIN_TIMEOUT: Duration = Duration::from_millis(500);
/// The least time before the front is searched again.
const MIN_FRONT_REST: Duration = Duration::from_millis(5);

/// What the module needs of the daemon.
#[derive(Clone)]
pub(super) struct DispatcherParts {
    pub(super) node: NodeId,
    pub(super) in_flight: InFlight,
    pub(super) in_force: ConfigInForce,
    pub(super) wakers: Wakers,
    pub(super) milestones: Arc<Milestones>,
    pub(super) unknown_tasks: UnknownTasks,
    pub(super) unserved: UnservedQueues,
    pub(super) rate_waits: RateWaits,
    pub(super) starts: CommandStarts,
    pub(super) outlook: LatestOutlook,
    pub(super) all_paused: AllPaused,
}

pub(super) struct Dispatcher {
    node: NodeId,
    in_flight: InFlight,
    in_force: ConfigInForce,
    wakers: Wakers,
    milestones: Arc<Milestones>,
    /// Queues with a backlog: claimed from without polling.
    hot: HashSet<QueueName>,
    polled: Option<Instant>,
    outlook: LatestOutlook,
    all_paused: AllPaused,
    hours: QueueHours,
    unknown: UnknownNames,
    watch: QueueWatch,
    /// When queues have a token of their rate again.
    tokens: TokenWaits,
    keys: KeySearches,
    front: FrontSearch,
    starts: CommandStarts,
    /// How often schedules of the database were changed, where it counts that.
    schedules: Option<String>,
    /// How long the next poll has to wait, because the last one read past tasks of unknown names.
    rest: Duration,
    /// Tasks were enqueued since the last poll.
    is_enqueued: bool,
    /// A claim ended without an answer: tasks may be this node's that are not in flight.
    is_in_doubt: bool,
    /// Until when the first round waits for the lease; none after that.
    begins_until: Option<Instant>,
}

#[async_trait(?Send)]
impl DaemonModule for Dispatcher {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.in_flight.cancel_reservations();
        // The module before this one may have reported it.
        context.store().isolated().forget(SEARCH);
        if self.is_in_doubt {
            self.in_flight.release_lost(context.store(), Duration::ZERO).await?;
            self.is_in_doubt = false;
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.close_queues(context);
        self.watch.report_full(context);
        let is_woken = context.wake_reasons().contains(WakeReason::Enqueued);
        self.is_enqueued |= is_woken;
        self.front.begin_round(context.wake_reasons());
        let store = context.store();
        if !self.begin(context).await? {
            return Ok(());
        }
        let claimable = self.in_flight.claimable_queues();
        let mut peeked = self.look(context, &claimable).await?;
        let published = self.unknown.publish(store).await;
        self.is_enqueued |= store.isolated().part("the names that this node defines", published)?;
        let shared = self.watch.share(store, &self.outlook).await;
        store.isolated().part("the queues that this node serves", shared)?;
        let dealt = self.unknown.deal(context, &self.outlook).await;
        self.is_enqueued |= store.isolated().part("tasks that no node defines", dealt)?;
        self.is_enqueued |= self.starts.probe_if_due().await;
        // The adopter wakes this module after its first round.
        if !self.milestones.has_adopted() {
            return Ok(());
        }
        if claimable.is_empty() {
            return Ok(());
        }
        let is_first = |queue: &&QueueName| self.hot.contains(*queue) || self.tokens.is_due(queue);
        let mut queues: Vec<QueueName> = claimable.iter().filter(is_first).cloned().collect();
        let interval = context.config().daemon.poll_interval;
        let polled = self.polled;
        let has_waited = |time: Duration| polled.is_none_or(|at| at.elapsed() >= time);
        let mut is_poll_due = peeked.is_some()
            || has_waited(self.rest) && (self.is_enqueued || queues.is_empty() || has_waited(interval));
        if is_poll_due && is_woken && self.may_claim_unasked(store, &claimable) {
            // The way to a task that was enqueued just now is as short as possible. The poll after `interval` finds the rest.
            let unasked = claimable.iter().filter(|queue| !queues.contains(queue)).cloned().collect();
            let has_found = self.claim_each(context, unasked).await?;
            is_poll_due = peeked.is_some() || !has_found || has_waited(interval);
        }
        if is_poll_due {
            self.is_enqueued = false;
            let seen = match peeked.take() {
                Some(seen) => seen,
                None => self.peek(store, &claimable).await?,
            };
            let found = self.sort_out(store, seen, &claimable).await?;
            let known: HashSet<QueueName> = queues.iter().cloned().collect();
            queues.extend(found.into_iter().filter(|queue| !known.contains(queue)));
        }
        self.claim_each(context, queues).await.map(|_| ())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        if !self.milestones.has_adopted() || self.begins_until.is_some() {
            return Ok(Next::After(context.config().daemon.poll_interval.min(BEGIN_TIMEOUT)));
        }
        if self.in_flight.claimable_queues().iter().any(|queue| self.hot.contains(queue)) {
            return Ok(Next::After(Duration::ZERO));
        }
        let interval = context.config().daemon.poll_interval;
        let rest = pace::rest(interval, self.outlook.quiet_for(), self.wakers.hears_other_processes());
        let rest = if self.is_enqueued { interval } else { rest }.max(self.rest);
        let change = self.hours.until_change(context.clock().now());
        let probe = self.starts.until_probe();
        let full = self.watch.until_report(context.config().daemon.report_full_after);
        let token = self.tokens.until_next();
        let end = self.all_paused.maintenance().and_then(|maintenance| maintenance.ends_at);
        let end = end.map(|end| (end - context.clock().now()).to_std().unwrap_or_default().max(interval));
        // As long as no queue is claimed from, and while polls rest, the front is not searched either.
        let is_searched = !self.in_flight.claimable_queues().is_empty();
        let poll = self.polled.map_or(Duration::ZERO, |at| self.rest.saturating_sub(at.elapsed()));
        let front = self.front.until_next(Instant::now()).filter(|_| is_searched);
        let front = front.map(|front| front.max(poll).max(MIN_FRONT_REST));
        Ok(Next::After([change, probe, full, token, end, front].into_iter().flatten().fold(rest, Duration::min)))
    }
}

impl Dispatcher {
    pub(super) fn new(parts: DispatcherParts) -> Self {
        let DispatcherParts { node, in_flight, in_force, wakers, milestones, unknown_tasks, unserved, .. } = parts;
        Self {
            watch: QueueWatch::new(node.clone(), in_flight.clone(), unserved),
            unknown: UnknownNames::new(node.clone(), in_force.clone(), in_flight.clone(), unknown_tasks),
            starts: parts.starts,
            outlook: parts.outlook,
            all_paused: parts.all_paused,
            rest: Duration::ZERO,
            node,
            in_flight,
            schedules: None,
            in_force,
            wakers,
            milestones,
            hot: HashSet::new(),
            polled: None,
            hours: QueueHours::default(),
            tokens: TokenWaits::new(parts.rate_waits),
            keys: KeySearches::default(),
            front: FrontSearch::default(),
            is_enqueued: false,
            is_in_doubt: true,
            begins_until: Some(Instant::now() + BEGIN_TIMEOUT),
        }
    }

    /// Claims the tasks that wait already as soon as the lease allows it, before the first look: that takes long in a new
    /// session. Returns whether the round goes on.
    async fn begin(&mut self, context: &ModuleContext) -> anyhow::Result<bool> {
        let Some(until) = self.begins_until else { return Ok(true) };
        let claimable = self.in_flight.claimable_queues();
        let is_ready = self.milestones.has_adopted() && self.in_flight.lease().grant().is_some();
        let is_cheap = self.may_claim_unasked(context.store(), &claimable);
        if is_cheap && !is_ready && Instant::now() < until {
            return Ok(false);
        }
        self.begins_until = None;
        if is_cheap && is_ready {
            self.claim_each(context, claimable).await?;
        }
        Ok(true)
    }

    /// Closes the queues that are outside their period, and opens the others.
    fn close_queues(&mut self, context: &ModuleContext) {
        let closed = self.hours.closed(&context.config(), context.clock().now());
        self.in_flight.close_queues(&closed.iter().map(|closed| closed.queue.clone()).collect::<Vec<_>>());
        for ClosedQueue { queue, .. } in closed.iter().filter(|closed| closed.at_period_end == AtPeriodEnd::Stop) {
            let stopped = self.in_flight.stop_queue(queue);
            if stopped > 0 {
                let tasks = counted(stopped, "running task");
                tracing::warn!(%queue, "the queue is outside its period now: stopping {tasks}; they run again when the period begins");
            }
        }
    }

    /// The names of the tasks that this node can execute now.
    fn names(&self) -> Arc<TaskNames> {
        match self.starts.is_open() {
            false => self.in_force.names(),
            true => self.in_force.names_without_commands(),
        }
    }
}
