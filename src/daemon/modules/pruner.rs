//! `pruner`: deletes history and ledger entries that are older than `daemon.keep_history` (30d), events that are older than
//! `daemon.keep_events` (7d), and files in the spool that are of no use any more. Logs how many rows it deleted.
//!
//! Settings: `module.pruner.interval` (1h).

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    clock::machine_time,
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::attempt_spool::Spool,
    },
    domain::text::{duration, plural::counted},
};

/// Damaged and incomplete spool files are kept for this long.
const KEEP_USELESS_FILES: Duration = Duration::from_secs(7 * 86_400);
/// After each batch it rests as long as the batch took, at most this long: other work must not notice it.
const MAX_REST: Duration = Duration::from_secs(1);
/// Default interval between two rounds.
const INTERVAL: Duration = Duration::from_secs(3_600);

pub(super) struct Pruner {
    spool: Spool,
}

#[async_trait(?Send)]
impl DaemonModule for Pruner {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.spool.clean(machine_time() - KEEP_USELESS_FILES);
        let config = context.config();
        let keep = config.daemon.keep_history;
        let pruned = context.store().prune(keep, async |took| rest(context, took).await).await?;
        let own = config.schedules().map(|schedule| schedule.name.as_str()).collect();
        context.store().prune_schedules(keep, &own).await?;
        let keep_events = config.daemon.keep_events;
        let events = context.store().prune_events(keep_events, async |took| rest(context, took).await).await;
        let events = context.store().isolated().part("events that are to be deleted", events)?;
        if events > 0 {
            let events = counted(events, "event");
            tracing::info!("deleted {events} older than {}", duration::text(keep_events));
        }
        if pruned > 0 {
            let rows = counted(pruned, "row");
            tracing::info!("deleted {rows} of history older than {}", duration::text(keep));
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(INTERVAL))
    }
}

/// Rests after a batch that took this long. Returns whether another one follows.
async fn rest(context: &ModuleContext, took: Duration) -> bool {
    context.progress();
    let stopping = context.stopping().cancelled();
    tokio::time::timeout(took.min(MAX_REST), stopping).await.is_err()
}

impl Pruner {
    pub(super) fn new(spool: Spool) -> Self {
        Self { spool }
    }
}
