//! `future`: the future manager. Promotes scheduled and retryable tasks whose time has come to `available`, and ends tasks
//! that have expired before they began, or that an application has cancelled with a request. Looks at the tasks that wait for
//! others, for what the end of a task could not settle itself.
//!
//! Settings: none of its own. It sleeps until the next task is due or expires, at most 30 s, and is woken by enqueues for
//! later, and by the dispatcher's look at the database, which says what is next. Logs a warning for the tasks of a queue that have expired.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::{
            latest_outlook::LatestOutlook,
            wakers::{WakeReason, Wakers},
        },
    },
    domain::{daemon::summary::SummaryTable, text::plural::counted},
    store::{NextInstants, Settled, StoreError},
};

/// Maximum time between two looks: the wall clock may be set, or a wake-up lost.
const MAX_REST: Duration = Duration::from_secs(30);
/// Time until it tries again to promote what is due already.
const REFUSED_REST: Duration = Duration::from_millis(250);
/// By this name tasks are reported that have expired and cannot be ended.
const EXPIRED_TASKS: &str = "tasks that have expired";
/// The same of tasks whose cancel was requested.
const CANCELLED_TASKS: &str = "tasks whose cancel was requested";
/// The same of tasks that wait for others.
const FOLLOWERS: &str = "tasks that wait for others";
/// Minimum time between two looks at tasks that wait for others.
const FOLLOWERS_REST: Duration = Duration::from_secs(2);
/// That look takes at most one part in this number of the time.
const FOLLOWERS_SHARE: u32 = 20;
/// Minimum time between two looks.
const MIN_REST: Duration = Duration::from_millis(1);

pub(super) struct FutureManager {
    wakers: Wakers,
    outlook: LatestOutlook,
    has_asked: bool,
    next: NextInstants,
    promoted: u64,
    expired: u64,
    /// The end of the latest look at tasks that wait for others, and how long it took.
    settled: Option<(Instant, Duration)>,
}

#[async_trait(?Send)]
impl DaemonModule for FutureManager {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let (store, now) = (context.store(), context.clock().now());
        let has_come = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
        let is_told = self.outlook.fresh(MAX_REST).is_some() && self.outlook.next() == self.next;
        let is_woken = context.wake_reasons().contains(WakeReason::Scheduled);
        let is_due =
            has_come(self.next.due) || has_come(self.next.expiry) || self.rest_of_followers() == Some(Duration::ZERO);
        if self.has_asked && is_told && !is_woken && !is_due {
            return Ok(());
        }
        // Such a task is not claimed; what cannot be ended must not keep others from their start.
        self.next = store.next_instants().await?;
        if self.next.is_cancel_requested {
            store.isolated().part(CANCELLED_TASKS, store.end_requested().await)?;
            self.next.is_cancel_requested = false;
        }
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
                self.wakers.announce_promoted();
            }
            self.next = store.next_instants().await?;
        }
        self.settle_followers(context, is_woken).await?;
        self.outlook.note_next(self.next);
        self.has_asked = true;
        Ok(())
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        // What is still due is refused, or its clock differs a little.
        let until = |at: DateTime<Utc>| (at - context.clock().now()).to_std().unwrap_or(REFUSED_REST);
        let next = [self.next.due, self.next.expiry].into_iter().flatten().map(until);
        let next = next.chain(self.rest_of_followers()).min();
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
    pub(super) fn new(wakers: Wakers, outlook: LatestOutlook) -> Self {
        let next = NextInstants::default();
        Self { wakers, outlook, has_asked: false, next, promoted: 0, expired: 0, settled: None }
    }

    /// The time until the next look at the tasks that wait for others; none if no task does.
    fn rest_of_followers(&self) -> Option<Duration> {
        let rest =
            |(at, took): (Instant, Duration)| (took * FOLLOWERS_SHARE).max(FOLLOWERS_REST).saturating_sub(at.elapsed());
        self.next.has_followers.then(|| self.settled.map_or(Duration::ZERO, rest))
    }

    /// Looks at the tasks that wait for others, if it is time, or if one was enqueued.
    async fn settle_followers(&mut self, context: &ModuleContext, is_woken: bool) -> anyhow::Result<()> {
        let is_rested = self.settled.is_none_or(|(at, took)| at.elapsed() >= took * FOLLOWERS_SHARE);
        let is_due = self.rest_of_followers() == Some(Duration::ZERO);
        let is_wanted = is_due || self.next.has_followers && is_woken && is_rested;
        if !is_wanted {
            return Ok(());
        }
        let begun = Instant::now();
        let settled = context.store().settle_all().await;
        self.settled = Some((Instant::now(), begun.elapsed()));
        let settled = context.store().isolated().part(FOLLOWERS, settled)?;
        if settled.released > 0 {
            self.wakers.announce_promoted();
        }
        if settled != Settled::default() {
            self.next = context.store().next_instants().await?;
        }
        Ok(())
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
