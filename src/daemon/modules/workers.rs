//! `workers`: the pools, one for each queue, and who sits in them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::shared::Shared,
        workers::pool::Pool,
    },
    domain::{daemon::summary::SummaryTable, identity::QueueName},
};

/// A claimed task that has waited for a worker so long is given back, so that another node may have it.
const STALE: Duration = Duration::from_secs(1);
/// Without a bell, the pools are looked at this often.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Workers {
    pools: BTreeMap<QueueName, Pool>,
    seen: Vec<(QueueName, usize, usize)>,
}

#[async_trait(?Send)]
impl DaemonModule for Workers {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        if self.pools.is_empty() {
            // The threads of an incarnation before this one are gone, and their attempts with them.
            let lost = shared.hand.interrupt_abandoned("its worker was lost", shared.clock.now());
            if lost > 0 {
                tracing::warn!("{lost} attempts were interrupted together with their workers");
            }
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        self.seen = shared.hand.workers();
        for (queue, _, workers) in &self.seen {
            if *workers == 0 && !self.pools.contains_key(queue) {
                continue;
            }
            let pool = self.pools.entry(queue.clone()).or_insert_with(|| Pool::new(queue.clone(), shared.clone()));
            pool.resize(*workers);
            pool.assign();
        }
        self.pools.retain(|queue, pool| {
            if !self.seen.iter().any(|(known, _, _)| known == queue) {
                pool.resize(0);
            }
            !pool.is_empty()
        });
        give_back(shared, STALE).await
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(LOOK))
    }

    /// Attempts would end with their workers.
    fn can_be_discarded(&self, context: &ModuleContext) -> bool {
        context.shared().hand.is_at_rest()
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Workers", &["Queue", "Busy", "Workers"], "This node works on no queue.");
        for (queue, busy, workers) in &self.seen {
            table.row([queue.to_string(), busy.to_string(), workers.to_string()]);
        }
        vec![table]
    }
}

/// Gives tasks back that have waited for at least so long.
pub(in crate::daemon) async fn give_back(shared: &Shared, at_least: Duration) -> anyhow::Result<()> {
    let waiting = shared.hand.take_waiting(at_least);
    if waiting.is_empty() {
        return Ok(());
    }
    // Whatever becomes of the release, these are not in hand any more; the dispatcher gives back what is lost.
    shared.hand.let_go(waiting.iter().copied());
    shared.store.release(&shared.node, &waiting).await?;
    shared.bells.ring("dispatcher");
    Ok(())
}
