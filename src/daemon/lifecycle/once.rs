//! When a daemon that was not to serve for ever has done its work.

use std::time::Duration;

use crate::{
    daemon::{
        Mode,
        state::{module_status::ModuleState, shared::Shared},
    },
    domain::identity::QueueName,
};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Ends when the daemon is to stop by itself.
pub(in crate::daemon) async fn over(shared: &Shared, mode: Mode) {
    match mode {
        Mode::Serve => std::future::pending().await,
        Mode::For(length) => tokio::time::sleep(length.saturating_sub(shared.started.elapsed())).await,
        Mode::Once => {
            let mut quiet_looks = 0;
            while quiet_looks < 2 {
                tokio::time::sleep(LOOK).await;
                quiet_looks = if nothing_due(shared).await { quiet_looks + 1 } else { 0 };
            }
        }
    }
}

/// Whether the modules that bring work in have looked, and nothing is waiting, running or unrecorded.
async fn nothing_due(shared: &Shared) -> bool {
    let is_off = |module| shared.board.of(module).is_some_and(|status| status.state == ModuleState::Disabled);
    let has_looked = |module| is_off(module) || shared.board.of(module).is_some_and(|status| status.rounds > 0);
    if !shared.has_adopted() || !["cron", "future", "dispatcher", "recorder"].into_iter().all(has_looked) {
        return false;
    }
    if !shared.hand.is_empty() {
        return false;
    }
    // What is due is left to other nodes where nobody claims or promotes it.
    if is_off("dispatcher") {
        return true;
    }
    // Nor is what waits for the period of its queue.
    let shut = shared.hand.shut_queues();
    let queues = shared.hand.workers().into_iter().map(|(queue, _, _)| queue);
    let queues: Vec<QueueName> = queues.filter(|queue| !shut.contains(queue)).collect();
    match shared.store.peek(&queues).await {
        Ok(seen) => seen.queues.is_empty() && !seen.without_queue && (!seen.due || is_off("future")),
        Err(_) => false,
    }
}
