//! `future`: promotes tasks whose time has come.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    daemon::module::{DaemonModule, ModuleContext, Next},
    domain::daemon::summary::SummaryTable,
    store::Wakeup,
};

/// Without a bell or a known instant, the tasks are looked at this often.
const LOOK: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Future {
    next: Option<DateTime<Utc>>,
    promoted: u64,
}

#[async_trait(?Send)]
impl DaemonModule for Future {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        self.next = context.store().next_future().await?;
        if self.next.is_some_and(|next| next <= context.clock().now()) {
            let promoted = context.store().promote().await?;
            self.promoted += promoted;
            if promoted > 0 {
                context.shared().bells.announce(Wakeup::Now);
            }
            self.next = context.store().next_future().await?;
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        let until = self.next.map(|next| (next - context.clock().now()).to_std().unwrap_or(Duration::from_millis(1)));
        Ok(Next::After(until.map_or(LOOK, |until| until.min(LOOK).max(Duration::from_millis(1)))))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Future tasks", &["Next", "Promoted"], "No task waits for its time.");
        if let Some(next) = self.next {
            table.row([next.to_rfc3339(), self.promoted.to_string()]);
        }
        vec![table]
    }
}
