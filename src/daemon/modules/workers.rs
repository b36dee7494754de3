//! `workers`: the pools, one for each queue, each with a thread of its own.
//!
//! Settings: `daemon.workers` (10, queue `default`), `queue.NAME.workers`. It cannot be disabled. It is recycled only
//! while no attempt runs. Logs a warning if attempts were interrupted because their workers were lost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    daemon::{
        inflight::{InFlight, QueueWorkers},
        module::{DaemonModule, ModuleContext, Next},
        workers::{attempt_executor::Executor, pool::PoolHandle},
    },
    domain::{daemon::summary::SummaryTable, identity::QueueName, text::plural::counted},
};

/// A claimed task that has waited for a worker this long is released, so that another node can claim it.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// How often pools are checked. Tasks wake their pool directly.
const INTERVAL: Duration = Duration::from_millis(500);

pub(super) struct Workers {
    in_flight: InFlight,
    executor: Arc<Executor>,
    pools: BTreeMap<QueueName, PoolHandle>,
    seen: Vec<QueueWorkers>,
}

#[async_trait(?Send)]
impl DaemonModule for Workers {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if self.pools.is_empty() {
            // The threads of the incarnation before this one are gone, and their attempts with them.
            let lost = self.in_flight.interrupt_abandoned("its worker was lost", context.clock().now());
            if lost > 0 {
                tracing::warn!("a worker thread failed: {} interrupted, to run again", counted(lost, "attempt"));
            }
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.seen = self.in_flight.workers();
        for QueueWorkers { queue, workers, .. } in &self.seen {
            let is_lost = self.pools.get(queue).is_some_and(|pool| !pool.is_connected());
            if is_lost {
                // Its thread is stopped; the attempts that it drops are recorded as interrupted, or detached.
                tracing::error!(%queue, "the pool ended and is replaced");
                self.pools.remove(queue);
            }
            if *workers > 0 || self.pools.contains_key(queue) {
                let pool = self.pools.entry(queue.clone());
                pool.or_insert_with(|| PoolHandle::start(queue, &self.executor, &self.in_flight)).resize(*workers);
            }
        }
        // A removed queue keeps its slots until its last attempt has ended.
        self.pools.retain(|queue, _| self.seen.iter().any(|seen| seen.queue == *queue));
        self.in_flight.release_waiting(context.store(), MAX_WAIT).await?;
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(INTERVAL))
    }

    /// Attempts would end with their workers. So the check and the end of these workers are one step.
    fn can_be_recycled(&self, _: &ModuleContext) -> bool {
        self.in_flight.retire_idle_workers()
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Workers", &["Queue", "Busy", "Workers"], "This node serves no queue.");
        for QueueWorkers { queue, busy, workers, .. } in &self.seen {
            table.row([queue.to_string(), busy.to_string(), workers.to_string()]);
        }
        vec![table]
    }
}

impl Workers {
    pub(super) fn new(in_flight: InFlight, executor: Arc<Executor>) -> Self {
        Self { in_flight, executor, pools: BTreeMap::new(), seen: Vec::new() }
    }
}
