//! Learns what is usual for tasks: from the history, in the background, once in the cluster.

use std::time::{Duration, Instant};

use crate::{daemon::module::ModuleContext, store::StoreError};

/// How far it has seen the history.
#[derive(Default)]
pub(super) struct Learning {
    looked_at: Option<Instant>,
    /// The latest row at the previous look. By now, all rows before it are committed.
    seen: Option<i64>,
    /// The latest row from which it has learned.
    learned: Option<i64>,
}

impl Learning {
    /// Learns from the rows that were there at the previous look, if that was at least `interval` ago. `last` is the latest
    /// row, if that is known.
    pub(super) async fn round(
        &mut self,
        context: &ModuleContext,
        interval: Duration,
        last: Option<i64>,
    ) -> Result<(), StoreError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < interval) {
            return Ok(());
        }
        let (store, config) = (context.store(), context.config());
        let last = match last {
            Some(last) => last,
            None => store.last_history_id().await?,
        };
        self.looked_at = Some(Instant::now());
        let seen = self.seen.replace(last);
        if let Some(seen) = seen.filter(|seen| self.learned != Some(*seen)) {
            let is_wanted = |task: &str, queue: Option<&str>, kind| config.notices_of(Some(task), queue).wants(kind);
            store.learn_baselines(seen, &is_wanted).await?;
            self.learned = Some(seen);
        }
        Ok(())
    }
}
