//! `pruner`: deletes history that is older than it is kept, and files that nobody can make use of.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    clock::machine_time,
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::spool::Spool,
    },
};

/// What nobody can make use of is kept on disk for so long.
const USELESS: Duration = Duration::from_secs(7 * 86_400);
/// Between two rounds.
const REST: Duration = Duration::from_secs(3_600);

pub(super) struct Pruner;

#[async_trait(?Send)]
impl DaemonModule for Pruner {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        Spool::new(context.shared().spool_dir.clone()).clean(machine_time() - USELESS);
        let keep = context.config().daemon.keep_history;
        let pruned = context.store().prune(keep, || context.progress()).await?;
        let config = context.config();
        let own = config.tasks.values().filter_map(|task| Some(task.schedule.as_ref()?.name.as_str())).collect();
        context.store().prune_schedules(keep, &own).await?;
        if pruned > 0 {
            tracing::info!(
                "{pruned} rows of history were older than {} and are deleted",
                crate::domain::text::duration::text(keep)
            );
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(REST))
    }
}
