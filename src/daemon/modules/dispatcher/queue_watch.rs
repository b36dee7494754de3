//! Queues that need attention are logged once, and the other nodes learn which queues this one serves.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    daemon::{
        inflight::{InFlight, QueueWorkers},
        module::ModuleContext,
        state::{
            latest_outlook::LatestOutlook,
            queue_troubles::{UnservedQueue, UnservedQueues, full_queues},
        },
    },
    domain::{
        identity::{NodeId, QueueName},
        task::waiting::{ClusterQueues, ServedBy, ServedQueue, ServedQueues},
        text::plural::counted,
    },
    store::{Store, StoreError},
};

/// From this number of queues on, they are not compared with what was published in each round.
const MANY_QUEUES: usize = 64;
/// The least time between two comparisons of that many queues.
const SHARE_INTERVAL: Duration = Duration::from_millis(100);
/// How often queues are searched that no node serves.
const REVIEW_INTERVAL: Duration = Duration::from_secs(10);
/// How old what the database said may be.
const FRESH: Duration = Duration::from_secs(20);

/// Watches the queues of this node and of the cluster.
pub(super) struct QueueWatch {
    node: NodeId,
    in_flight: InFlight,
    unserved: UnservedQueues,
    /// Full queues that were logged, and since when they are full.
    full: Vec<(String, DateTime<Utc>)>,
    /// What this node has published.
    published: Option<ServedQueues>,
    shared: Option<Instant>,
    reviewed: Option<Instant>,
}

impl QueueWatch {
    pub(super) fn new(node: NodeId, in_flight: InFlight, unserved: UnservedQueues) -> Self {
        Self { node, in_flight, unserved, full: Vec::new(), published: None, shared: None, reviewed: None }
    }

    /// Reports queues without a free worker, and those that have one again. Needs no database.
    pub(super) fn report_full(&mut self, context: &ModuleContext) {
        let full = full_queues(&self.in_flight, context.config().daemon.report_full_after);
        let now = context.clock().now();
        for queue in &full {
            if self.full.iter().any(|(known, _)| *known == queue.queue) {
                continue;
            }
            tracing::warn!("queue {} {}", queue.queue, queue.words());
            let length = TimeDelta::milliseconds(i64::try_from(queue.full_ms).unwrap_or(i64::MAX));
            self.full.push((queue.queue.clone(), now - length));
        }
        self.full.retain(|(known, _)| {
            let is_full = full.iter().any(|queue| queue.queue == *known);
            if !is_full {
                tracing::info!("queue {known} has a free worker again");
            }
            is_full
        });
    }

    /// How long until a queue must be reported as full; none if none is about to.
    pub(super) fn until_report(&self, least: Duration) -> Option<Duration> {
        let is_told = |queue: &QueueWorkers| self.full.iter().any(|(known, _)| *known == *queue.queue);
        let workers = self.in_flight.workers();
        let full = workers.iter().filter(|queue| !is_told(queue)).filter_map(|queue| queue.full_for);
        full.map(|full_for| least.saturating_sub(full_for)).min()
    }

    /// Publishes the queues of this node after a change, and searches for queues that no node serves.
    pub(super) async fn share(&mut self, store: &Store, outlook: &LatestOutlook) -> Result<(), StoreError> {
        let has_many = self.published.as_ref().is_some_and(|published| published.len() >= MANY_QUEUES);
        if has_many && self.shared.is_some_and(|at| at.elapsed() < SHARE_INTERVAL) {
            return Ok(());
        }
        self.shared = Some(Instant::now());
        let served: ServedQueues = self.in_flight.workers().into_iter().map(|queue| self.served(&queue)).collect();
        if self.published.as_ref() != Some(&served) {
            // Without a row, the node is about to register: the next round publishes.
            if store.publish_queues(&self.node, &served).await? {
                self.published = Some(served);
            }
            self.reviewed = None;
        }
        if self.reviewed.is_none_or(|at| at.elapsed() >= REVIEW_INTERVAL) {
            self.reviewed = Some(Instant::now());
            match outlook.fresh(FRESH) {
                Some(outlook) if !outlook.has_waiting => self.report_unserved(Vec::new()),
                _ => self.review(store).await?,
            }
        }
        Ok(())
    }

    /// The database does not know the queues any more: a node that was declared dead loses them.
    pub(super) fn publish_again(&mut self) {
        self.published = None;
    }

    fn served(&self, queue: &QueueWorkers) -> (String, ServedQueue) {
        let since = self.full.iter().find(|(known, _)| *known == *queue.queue).map(|(_, since)| *since);
        (queue.queue.to_string(), ServedQueue { workers: queue.workers, full_since: since })
    }

    /// Searches for tasks in queues that no node serves.
    async fn review(&mut self, store: &Store) -> Result<(), StoreError> {
        let own: BTreeSet<String> = self
            .in_flight
            .workers()
            .into_iter()
            .filter(|queue| queue.workers > 0)
            .map(|queue| queue.queue.to_string())
            .collect();
        let mut waiting = store.queues_with_waiting_tasks().await?;
        waiting.retain(|queue| !own.contains(&**queue));
        let mut unserved = Vec::new();
        if !waiting.is_empty() {
            let cluster = ClusterQueues { live: store.live_queues().await?, ..ClusterQueues::default() };
            let known = self.unserved.all();
            // After an outage, nodes are not back yet, or have not said what they serve: what was known stands.
            let is_unserved = |queue: &&QueueName| match cluster.served_by(queue) {
                ServedBy::Nobody => true,
                ServedBy::NoNode | ServedBy::Perhaps(_) => known.iter().any(|known| known.queue == ***queue),
                ServedBy::Quiet | ServedBy::Workers { .. } => false,
            };
            for queue in waiting.iter().filter(is_unserved) {
                let tasks = store.waiting_in(queue).await?;
                unserved.push(UnservedQueue { queue: queue.to_string(), tasks });
            }
        }
        self.report_unserved(unserved);
        Ok(())
    }

    fn report_unserved(&self, unserved: Vec<UnservedQueue>) {
        let (new, gone) = self.unserved.replace(unserved);
        for UnservedQueue { queue, tasks } in new {
            let verb = if tasks == 1 { "waits" } else { "wait" };
            let tasks = counted(tasks, "task");
            tracing::warn!(
                "no node serves queue {queue}, and {tasks} {verb} there: give it workers in [queue.{queue}], or move them \
                 with `sexton task move`"
            );
        }
        for queue in gone {
            tracing::info!("no task waits any more in queue {queue} without a node that serves it");
        }
    }
}
