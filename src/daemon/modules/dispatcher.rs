//! `dispatcher`: claims as many tasks as this node has credits for.
//!
//! It polls the queues with free credits for available tasks, cheaply, and claims from those that have some. While a
//! queue has a backlog it claims without polling. Enqueues and free slots wake it. After the start it claims nothing
//! until the adopter has taken up what earlier daemons left running: that occupies slots.
//!
//! Settings: `daemon.poll_interval` (250ms), where no process wakes the node down to a tenth of it while tasks come, when
//! idle one eighth as often, and one fortieth as often where enqueues by other processes wake the node;
//! `queue.NAME.workers`, `limit`, `period` and `at_period_end`; `daemon.report_full_after`. Logs when a queue opens and
//! closes by its period, when it has had no free worker for a while, and when tasks wait in a queue that no node serves.

mod queue_hours;
mod queue_watch;
mod unknown_names;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use self::{
    queue_hours::{ClosedQueue, QueueHours},
    queue_watch::QueueWatch,
    unknown_names::UnknownNames,
};
use crate::{
    config::AtPeriodEnd,
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            command_starts::CommandStarts,
            config_in_force::ConfigInForce,
            milestones::Milestones,
            queue_troubles::UnservedQueues,
            unknown_tasks::UnknownTasks,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        identity::{ModuleName, NodeId, QueueName},
        task::names::TaskNames,
        text::plural::counted,
    },
    store::{OnStale, Store, StoreError},
};

/// For this long after the last task it polls at the poll interval, then less often.
const LIVELY: Duration = Duration::from_secs(10);
/// Where nobody wakes the node, it polls after this part of the time since it last found a task, at the least after this
/// part of the poll interval.
const PACE: u32 = 4;
const LIVELY_DIVISOR: u32 = 10;
/// The factor of the poll interval when idle.
const IDLE_FACTOR: u32 = 8;
/// The factor when idle where enqueues by other processes wake the node.
const IDLE_FACTOR_IF_WOKEN: u32 = 40;
/// With more queues than this, a wake-up is a reason to ask which of them have tasks.
const MAX_UNASKED: usize = 4;
/// A poll that reads past many tasks of unknown names takes long. The rest after it is this many times as long.
const REST_FACTOR: u32 = 20;

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
    pub(super) starts: CommandStarts,
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
    /// When it last found a task, or when one waited for a limit.
    found: Instant,
    /// When it last claimed a task.
    claimed: Instant,
    hours: QueueHours,
    unknown: UnknownNames,
    watch: QueueWatch,
    starts: CommandStarts,
    /// How long the next poll has to wait, because the last one read past tasks of unknown names.
    rest: Duration,
    /// Tasks were enqueued since the last poll.
    is_enqueued: bool,
    /// A claim ended without an answer: tasks may be this node's that are not in flight.
    is_in_doubt: bool,
}

#[async_trait(?Send)]
impl DaemonModule for Dispatcher {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.in_flight.cancel_reservations();
        if self.is_in_doubt {
            self.in_flight.release_lost(context.store(), Duration::ZERO).await?;
            self.is_in_doubt = false;
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.close_queues(context);
        self.watch.report_full(context);
        self.is_enqueued |= context.wake_reasons().contains(WakeReason::Enqueued);
        let store = context.store();
        let published = self.unknown.publish(store).await;
        self.is_enqueued |= store.isolated().part("the names that this node defines", published)?;
        let shared = self.watch.share(store).await;
        store.isolated().part("the queues that this node serves", shared)?;
        let dealt = self.unknown.deal(context).await;
        self.is_enqueued |= store.isolated().part("tasks that no node defines", dealt)?;
        self.is_enqueued |= self.starts.probe_if_due().await;
        // The adopter wakes this module after its first round.
        if !self.milestones.has_adopted() {
            return Ok(());
        }
        let claimable = self.in_flight.claimable_queues();
        if claimable.is_empty() {
            return Ok(());
        }
        let mut queues: Vec<QueueName> = claimable.iter().filter(|queue| self.hot.contains(*queue)).cloned().collect();
        let interval = context.config().daemon.poll_interval;
        let has_waited = |time: Duration| self.polled.is_none_or(|at| at.elapsed() >= time);
        if has_waited(self.rest) && (self.is_enqueued || queues.is_empty() || has_waited(interval)) {
            let is_enqueued = std::mem::take(&mut self.is_enqueued);
            if is_enqueued && store.claims_unasked() && claimable.len() <= MAX_UNASKED {
                // The way to a task that was enqueued just now is as short as possible; the poll finds the rest.
                let unasked = claimable.iter().filter(|queue| !queues.contains(queue)).cloned().collect();
                self.claim_each(context, unasked).await?;
            }
            for queue in self.poll(store, &claimable).await? {
                if !queues.contains(&queue) {
                    queues.push(queue);
                }
            }
        }
        self.claim_each(context, queues).await
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        if !self.milestones.has_adopted() {
            return Ok(Next::After(context.config().daemon.poll_interval));
        }
        if self.in_flight.claimable_queues().iter().any(|queue| self.hot.contains(queue)) {
            return Ok(Next::After(Duration::ZERO));
        }
        let interval = context.config().daemon.poll_interval;
        let rest = match (self.found.elapsed() < LIVELY, self.wakers.hears_other_processes()) {
            (true, true) => interval,
            // Where tasks come closely, the next one is met soon.
            (true, false) => (self.claimed.elapsed() / PACE).clamp(interval / LIVELY_DIVISOR, interval),
            (false, false) => interval * IDLE_FACTOR,
            (false, true) => interval * IDLE_FACTOR_IF_WOKEN,
        };
        let rest = if self.is_enqueued { interval } else { rest }.max(self.rest);
        let change = self.hours.until_change(context.clock().now());
        let probe = self.starts.until_probe();
        let full = self.watch.until_report(context.config().daemon.report_full_after);
        Ok(Next::After([change, probe, full].into_iter().flatten().fold(rest, Duration::min)))
    }
}

impl Dispatcher {
    pub(super) fn new(parts: DispatcherParts) -> Self {
        let DispatcherParts { node, in_flight, in_force, wakers, milestones, unknown_tasks, unserved, starts } = parts;
        Self {
            watch: QueueWatch::new(node.clone(), in_flight.clone(), unserved),
            unknown: UnknownNames::new(node.clone(), in_force.clone(), in_flight.clone(), unknown_tasks),
            starts,
            rest: Duration::ZERO,
            node,
            in_flight,
            in_force,
            wakers,
            milestones,
            hot: HashSet::new(),
            polled: None,
            found: Instant::now(),
            claimed: Instant::now(),
            hours: QueueHours::default(),
            is_enqueued: false,
            is_in_doubt: true,
        }
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

    /// Returns those of the `claimable` queues that have available tasks. Assigns a queue to tasks without one.
    async fn poll(&mut self, store: &Store, claimable: &[QueueName]) -> Result<Vec<QueueName>, StoreError> {
        let began = Instant::now();
        let seen = store.peek_known(&self.names(), claimable).await?;
        self.polled = Some(Instant::now());
        self.rest = if seen.unknown.is_empty() { Duration::ZERO } else { began.elapsed() * REST_FACTOR };
        self.unknown.note(seen.unknown, []);
        if seen.due {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
        let mut found = seen.queues;
        if seen.without_queue {
            for name in store.names_without_queue().await? {
                // Its queue is in its definition.
                let Some(definition) = self.in_force.definition(&name) else {
                    self.unknown.note([], [name]);
                    continue;
                };
                let queue = &definition.queue;
                store.assign_queue(&name, queue, definition.priority).await?;
                if claimable.contains(queue) && !found.contains(queue) {
                    found.push(queue.clone());
                }
            }
        }
        Ok(found)
    }

    /// The names of the tasks that this node can execute now.
    fn names(&self) -> Arc<TaskNames> {
        match self.starts.is_open() {
            false => self.in_force.names(),
            true => self.in_force.names_without_commands(),
        }
    }

    /// Claims tasks of these queues. What is wrong with one of them does not keep the others back.
    async fn claim_each(&mut self, context: &ModuleContext, queues: Vec<QueueName>) -> anyhow::Result<()> {
        let store = context.store();
        for queue in queues {
            let claimed = self.claim(store, &queue).await;
            if claimed.is_err() {
                self.hot.remove(&queue);
            }
            store.isolated().part(format_args!("claims of queue {queue}"), claimed)?;
            context.progress();
        }
        Ok(())
    }

    /// Claims tasks of one queue.
    async fn claim(&mut self, store: &Store, queue: &QueueName) -> Result<(), StoreError> {
        if self.in_force.longest_grace(queue).is_some_and(|grace| self.in_flight.lease().is_late_for(grace)) {
            // The next heartbeat is due: what must end before the lease does begins after it.
            self.hot.remove(queue);
            self.found = Instant::now();
            return Ok(());
        }
        let reservation = self.in_flight.reserve(queue);
        let wanted = reservation.count();
        if wanted == 0 {
            return Ok(());
        }
        let limits = self.in_force.limits();
        let is_unlimited = limits.is_unlimited(queue);
        let claimed = match is_unlimited {
            true => store.claim_known(&self.names(), &self.node, queue, wanted).await,
            false => store.claim_known_within(&limits, &self.names(), &self.node, queue, wanted).await,
        };
        let claimed = claimed.inspect_err(|_| self.is_in_doubt = true)?;
        let found = claimed.tasks.len() + claimed.postponed;
        // Tasks that a limit keeps back can be claimed as soon as another one ends, here or elsewhere.
        if found > 0 || !is_unlimited {
            self.found = Instant::now();
        }
        if !claimed.tasks.is_empty() {
            self.claimed = Instant::now();
        }
        if claimed.postponed > 0 {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
        // Tasks that were only sorted into `scheduled` stood before others.
        match found == wanted || claimed.postponed > 0 {
            true => self.hot.insert(queue.clone()),
            false => self.hot.remove(queue),
        };
        for again in reservation.fill(found, claimed.tasks) {
            tracing::error!(
                task.id = again.claim.task_id,
                "{} was claimed again under the claim {} that this node has already: the database has lost that claim; \
                 the attempt that runs goes on",
                again.name,
                again.claim
            );
            store.finish(&[again.claimed_again(&self.node)], OnStale::Record).await?;
        }
        Ok(())
    }
}
