//! `pruner`: deletes history that is older than it is kept.

use std::time::Duration;

use async_trait::async_trait;

use crate::daemon::module::{DaemonModule, ModuleContext, Next};

/// Between two rounds.
const REST: Duration = Duration::from_secs(3_600);

pub(super) struct Pruner;

#[async_trait(?Send)]
impl DaemonModule for Pruner {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let keep = context.config().daemon.keep_history;
        let pruned = context.store().prune(keep, || context.progress()).await?;
        if pruned > 0 {
            tracing::info!(
                "{pruned} rows of history were older than {} and are deleted",
                crate::domain::span::text(keep)
            );
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(REST))
    }
}
