//! `future`: the future manager. Promotes scheduled and retryable tasks whose time has come to `available`, and ends tasks
//! that have expired before they began, or that an application has cancelled with a request.
//!
//! Settings: none of its own. It sleeps until the next task is due or expires, at most 30 s, and is woken by enqueues for
//! later. Logs a warning for the tasks of a queue that have expired.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::wakers::Wakers,
    },
    domain::{daemon::summary::SummaryTable, text::plural::counted},
    store::{NextInstants, StoreError, Wakeup},
};

/// Maximum time between two looks: the wall clock may be set, or a wake-up lost.
const MAX_REST: Duration = Duration::from_secs(30);
/// Time until it tries again to promote what is due already.
const REFUSED_REST: Duration = Duration::from_millis(250);
/// By this name tasks are reported that have expired and cannot be ended.
const EXPIRED_TASKS: &str = "tasks that have expired";
/// The same of tasks whose cancel was requested.
const CANCELLED_TASKS: &str = "tasks whose cancel was requested";
/// Minimum time between two looks.
const MIN_REST: Duration = Duration::from_millis(1);

pub(super) struct FutureManager {
    wakers: Wakers,
    next: NextInstants,
    promoted: u64,
    expired: u64,
}

#[async_trait(?Send)]
impl DaemonModule for FutureManager {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let (store, now) = (context.store(), context.clock().now());
        // Such a task is not claimed; what cannot be ended must not keep others from their start.
        self.next = store.next_instants().await?;
        if self.next.is_cancel_requested {
            store.isolated().part(CANCELLED_TASKS, store.end_requested().await)?;
        }
        let has_come = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
        if has_come(self.next.expiry) {
            // What cannot be ended must not keep others from their start.
            let skipped = self.skip_expired(context, now).await;
            store.isolated().part(EXPIRED_TASKS, skipped)?;
            self.next = store.next_instants().await?;
        }
        if has_come(self.next.due) {
            let promoted = store.promote().await?;
            self.promoted += promoted;
            if promoted > 0 {
                self.wakers.announce(Wakeup::Now);
            }
            self.next = store.next_instants().await?;
        }
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        // What is still due is refused, or its clock differs a little.
        let until = |at: DateTime<Utc>| (at - context.clock().now()).to_std().unwrap_or(REFUSED_REST);
        let next = [self.next.due, self.next.expiry].into_iter().flatten().map(until).min();
        Ok(Next::After(next.map_or(MAX_REST, |until| until.clamp(MIN_REST, MAX_REST))))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let columns = ["Next", "Promoted", "Expired"];
        let mut table = SummaryTable::new("Future tasks", &columns, "No task is scheduled for later.");
        if let Some(next) = self.next.due {
            table.row([next.to_rfc3339(), self.promoted.to_string(), self.expired.to_string()]);
        }
        vec![table]
    }
}

impl FutureManager {
    pub(super) fn new(wakers: Wakers) -> Self {
        Self { wakers, next: NextInstants::default(), promoted: 0, expired: 0 }
    }

    /// Ends the tasks that have expired before they began, queue by queue, each with what held it back.
    async fn skip_expired(&mut self, context: &ModuleContext, now: DateTime<Utc>) -> Result<(), StoreError> {
        let store = context.store();
        let queues = store.queues_with_expired_tasks().await?;
        let cluster = store.cluster_queues().await?;
        for queue in queues {
            let rules = queue.as_ref().map(|queue| context.config().rules_of(queue, now)).unwrap_or_default();
            let cause = cluster.cause(queue.as_deref(), "", rules, now);
            let why = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            let expired = store.skip_expired(queue.as_ref(), &format!("it expired before it began{why}")).await;
            let place = queue.as_deref().unwrap_or("(none)");
            let expired = store.isolated().part(format_args!("expired tasks of queue {place}"), expired)?;
            self.expired += expired;
            if expired > 0 {
                let tasks = counted(expired, "task");
                let queue = queue.as_deref().map(|queue| format!(" of queue {queue}")).unwrap_or_default();
                tracing::warn!("{tasks}{queue} expired before the start{why}: in the history as skipped");
            }
        }
        Ok(())
    }
}
