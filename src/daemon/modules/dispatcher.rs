//! `dispatcher`: claims as many tasks as this node has credits for.
//!
//! It polls the queues with free credits for available tasks, cheaply, and claims from those that have some. While a
//! queue has a backlog it claims without polling. Enqueues and free slots wake it.
//!
//! Settings: `daemon.poll_interval` (250ms), when idle one eighth as often, and one fortieth as often where enqueues by
//! other processes wake the node; `queue.NAME.workers`, `limit`, `period` and `at_period_end`. Logs when a queue opens
//! and closes by its period.

mod queue_hours;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use self::queue_hours::{ClosedQueue, QueueHours};
use crate::{
    config::AtPeriodEnd,
    daemon::{
        inflight::InFlight,
        module::{DaemonModule, ModuleContext, Next},
        state::{
            config_in_force::ConfigInForce,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{
        identity::{ModuleName, NodeId, QueueName},
        task::definition::DEFAULT_QUEUE,
        text::plural::counted,
    },
    store::{Store, StoreError},
};

/// For this long after the last task it polls at the poll interval, then less often.
const LIVELY: Duration = Duration::from_secs(10);
/// The factor of the poll interval when idle.
const IDLE_FACTOR: u32 = 8;
/// The factor when idle where enqueues by other processes wake the node.
const IDLE_FACTOR_IF_WOKEN: u32 = 40;

pub(super) struct Dispatcher {
    node: NodeId,
    in_flight: InFlight,
    in_force: ConfigInForce,
    wakers: Wakers,
    /// Queues with a backlog: claimed from without polling.
    hot: HashSet<QueueName>,
    polled: Option<Instant>,
    /// When it last found a task.
    found: Instant,
    hours: QueueHours,
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
        self.is_enqueued |= context.wake_reasons().contains(WakeReason::Enqueued);
        let claimable = self.in_flight.claimable_queues();
        if claimable.is_empty() {
            return Ok(());
        }
        let mut queues: Vec<QueueName> = claimable.iter().filter(|queue| self.hot.contains(*queue)).cloned().collect();
        let interval = context.config().daemon.poll_interval;
        let is_enqueued = std::mem::take(&mut self.is_enqueued);
        if is_enqueued || queues.is_empty() || self.polled.is_none_or(|at| at.elapsed() >= interval) {
            for queue in self.poll(context.store(), &claimable).await? {
                if !queues.contains(&queue) {
                    queues.push(queue);
                }
            }
        }
        for queue in queues {
            self.claim(context.store(), &queue).await?;
            context.progress();
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        if self.in_flight.claimable_queues().iter().any(|queue| self.hot.contains(queue)) {
            return Ok(Next::After(Duration::ZERO));
        }
        let interval = context.config().daemon.poll_interval;
        let rest = match (self.found.elapsed() < LIVELY, self.wakers.hears_other_processes()) {
            (true, _) => interval,
            (false, false) => interval * IDLE_FACTOR,
            (false, true) => interval * IDLE_FACTOR_IF_WOKEN,
        };
        let change = self.hours.until_change(context.clock().now());
        Ok(Next::After(change.map_or(rest, |change| rest.min(change))))
    }
}

impl Dispatcher {
    pub(super) fn new(node: NodeId, in_flight: InFlight, in_force: ConfigInForce, wakers: Wakers) -> Self {
        Self {
            node,
            in_flight,
            in_force,
            wakers,
            hot: HashSet::new(),
            polled: None,
            found: Instant::now(),
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
        self.polled = Some(Instant::now());
        let seen = store.peek(claimable).await?;
        if seen.due {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
        let mut found = seen.queues;
        if seen.without_queue {
            for name in store.names_without_queue().await? {
                let definition = self.in_force.definition(&name);
                let (queue, priority) = definition
                    .map_or((DEFAULT_QUEUE.into(), 0), |definition| (definition.queue.clone(), definition.priority));
                store.assign_queue(&name, &queue, priority).await?;
                if claimable.contains(&queue) && !found.contains(&queue) {
                    found.push(queue);
                }
            }
        }
        Ok(found)
    }

    /// Claims tasks of one queue.
    async fn claim(&mut self, store: &Store, queue: &QueueName) -> Result<(), StoreError> {
        let reservation = self.in_flight.reserve(queue);
        let wanted = reservation.count();
        if wanted == 0 {
            return Ok(());
        }
        let limits = self.in_force.limits();
        let is_unlimited = limits.is_unlimited(queue);
        let claimed = match is_unlimited {
            true => store.claim(&self.node, queue, wanted).await,
            false => store.claim_within(&limits, &self.node, queue, wanted).await,
        };
        let claimed = claimed.inspect_err(|_| self.is_in_doubt = true)?;
        let found = claimed.tasks.len() + claimed.postponed;
        // Tasks that a limit keeps back can be claimed as soon as another one ends, here or elsewhere.
        if found > 0 || !is_unlimited {
            self.found = Instant::now();
        }
        if claimed.postponed > 0 {
            self.wakers.wake(&ModuleName::FUTURE, WakeReason::Scheduled);
        }
        // Tasks that were only sorted into `scheduled` stood before others.
        match found == wanted || claimed.postponed > 0 {
            true => self.hot.insert(queue.clone()),
            false => self.hot.remove(queue),
        };
        reservation.fill(found, claimed.tasks);
        Ok(())
    }
}
