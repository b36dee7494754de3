//! `future`: the future manager. Promotes scheduled and retryable tasks whose time has come to `available`.
//!
//! Settings: none of its own. It sleeps until the next task is due, at most 30 s, and is woken by enqueues for later.
//! Logs nothing.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::wakers::Wakers,
    },
    domain::daemon::summary::SummaryTable,
    store::Wakeup,
};

/// Maximum time between two looks: the wall clock may be set, or a wake-up lost.
const MAX_REST: Duration = Duration::from_secs(30);
/// Time until it tries again to promote what is due already.
const REFUSED_REST: Duration = Duration::from_millis(250);
/// Minimum time between two looks.
const MIN_REST: Duration = Duration::from_millis(1);

pub(super) struct FutureManager {
    wakers: Wakers,
    next: Option<DateTime<Utc>>,
    promoted: u64,
}

#[async_trait(?Send)]
impl DaemonModule for FutureManager {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.next = context.store().next_future().await?;
        if self.next.is_some_and(|next| next <= context.clock().now()) {
            let promoted = context.store().promote().await?;
            self.promoted += promoted;
            if promoted > 0 {
                self.wakers.announce(Wakeup::Now);
            }
            self.next = context.store().next_future().await?;
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        // What is still due is refused, or its clock differs a little.
        let until = self.next.map(|next| (next - context.clock().now()).to_std().unwrap_or(REFUSED_REST));
        Ok(Next::After(until.map_or(MAX_REST, |until| until.clamp(MIN_REST, MAX_REST))))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Future tasks", &["Next", "Promoted"], "No task is scheduled for later.");
        if let Some(next) = self.next {
            table.row([next.to_rfc3339(), self.promoted.to_string()]);
        }
        vec![table]
    }
}

impl FutureManager {
    pub(super) fn new(wakers: Wakers) -> Self {
        Self { wakers, next: None, promoted: 0 }
    }
}
