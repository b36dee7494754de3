//! Learns what is usual for tasks: from the history, in the background, once in the cluster.

use crate::{daemon::module::ModuleContext, store::StoreError};

/// It learns in each round of this number.
const ROUNDS: u32 = 6;

/// How far it has seen the history.
#[derive(Default)]
pub(super) struct Learning {
    rounds: u32,
    /// The latest row at the previous look. By now, all rows before it are committed.
    seen: Option<i64>,
}

impl Learning {
    /// Learns from the rows that were there at the previous look.
    pub(super) async fn round(&mut self, context: &ModuleContext) -> Result<(), StoreError> {
        self.rounds = (self.rounds + 1) % ROUNDS;
        if self.rounds != 1 {
            return Ok(());
        }
        let (store, config) = (context.store(), context.config());
        let last = store.last_history_id().await?;
        if let Some(seen) = self.seen.replace(last) {
            let is_wanted = |task: &str, queue: Option<&str>, kind| config.notices_of(Some(task), queue).wants(kind);
            store.learn_baselines(seen, &is_wanted).await?;
        }
        Ok(())
    }
}
