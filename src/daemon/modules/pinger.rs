//! `pinger`: pings the `ping_url` of schedules when their runs begin, succeed and fail; and that of the daemon each minute
//! while it is well.
//!
//! A receiver that hangs or fails costs nothing but its own pings. A ping is tried twice and then dropped. When too many
//! wait, the oldest are dropped.
//!
//! Settings: `ping_url` of tasks and of `[daemon]`. Logs once that pings fail or are dropped.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::{
            module_status::ModuleStatuses,
            pings::{Pings, SchedulePing},
        },
    },
    domain::{daemon::summary::SummaryTable, notice::channel::Secret, ping::PingSignal},
    notice::ping,
};

/// Time limit of one try.
const LIMIT: Duration = Duration::from_secs(5);
/// Pause before the second try.
const PAUSE: Duration = Duration::from_secs(1);
/// Maximum number of schedules whose pings are on their way at once.
const AT_ONCE: usize = 32;
/// The interval between two pings of the daemon.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often it says that it has not hung.
const PROGRESS: Duration = Duration::from_secs(1);

pub(super) struct Pinger {
    node: String,
    pings: Pings,
    statuses: ModuleStatuses,
    /// When the daemon pinged last, or would have if it had been well.
    pinged_at: Option<Instant>,
    sent: u64,
    failed: u64,
    /// The number of pings that were dropped before the last round.
    reported: u64,
}

/// A ping that is on its way: what it is of, which schedule if it is of one, and what became of it.
type Sending = LocalBoxFuture<'static, (String, Option<String>, Result<(), String>)>;

#[async_trait(?Send)]
impl DaemonModule for Pinger {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let isolated = context.store().isolated();
        let mut sending = FuturesUnordered::<Sending>::new();
        // The pings of a schedule are sent one after the other.
        let mut busy = HashSet::new();
        loop {
            self.report_dropped(context);
            // Receivers that hang do not keep the daemon's own ping back.
            sending.extend(self.of_daemon(context));
            for ping in self.pings.take_first(&busy, AT_ONCE.saturating_sub(busy.len())) {
                busy.insert(ping.schedule.clone());
                sending.push(of_schedule(ping));
            }
            let (what, schedule, result) = tokio::select! {
                next = sending.next() => match next {
                    Some(result) => result,
                    None => return Ok(()),
                },
                // What is not sent by now is dropped.
                () = context.stopping().cancelled() => return Ok(()),
                () = tokio::time::sleep(PROGRESS) => {
                    context.progress();
                    continue;
                }
            };
            if let Some(schedule) = schedule {
                busy.remove(&schedule);
            }
            match result {
                Ok(()) => {
                    self.sent += 1;
                    isolated.forget(&what);
                }
                Err(why) => {
                    self.failed += 1;
                    isolated.note(&what, why);
                }
            }
        }
    }

    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        if !self.pings.is_empty() {
            return Ok(Next::After(Duration::ZERO));
        }
        let rest = match (&context.config().daemon.ping_url, self.pinged_at) {
            (Some(_), at) => at.map_or(Duration::ZERO, |at| INTERVAL.saturating_sub(at.elapsed())),
            (None, _) => INTERVAL,
        };
        // A daemon that is not well looks again soon.
        Ok(Next::After(rest.max(PAUSE)))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Pings", &["Sent", "Failed", "Dropped"], "No ping was sent.");
        let counts = [self.sent, self.failed, self.pings.dropped()];
        if counts.iter().any(|count| *count > 0) {
            table.row(counts.map(|count| count.to_string()));
        }
        vec![table]
    }
}

impl Pinger {
    pub(super) fn new(node: String, pings: Pings, statuses: ModuleStatuses) -> Self {
        Self { node, pings, statuses, pinged_at: None, sent: 0, failed: 0, reported: 0 }
    }

    /// The ping of the daemon, if it is due and the daemon is well.
    fn of_daemon(&mut self, context: &ModuleContext) -> Option<Sending> {
        let Secret(url) = context.config().daemon.ping_url.clone()?;
        if self.pinged_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return None;
        }
        // Modules that start or wait for the database are not well yet: it looks again soon.
        if !self.statuses.unhealthy().is_empty() {
            return None;
        }
        self.pinged_at = Some(Instant::now());
        let (address, text) = (PingSignal::Success.address(&url), format!("node {} is well", self.node));
        let sending = async move { ("the pings of the daemon".to_owned(), None, send(&address, &text).await) };
        Some(sending.boxed_local())
    }

    /// Says that pings are dropped, until a round has dropped none.
    fn report_dropped(&mut self, context: &ModuleContext) {
        const WHAT: &str = "pings that wait";
        let (isolated, dropped) = (context.store().isolated(), self.pings.dropped());
        if dropped > self.reported {
            isolated.note(WHAT, "too many wait: the oldest are dropped");
        } else if self.pings.is_empty() {
            isolated.forget(WHAT);
        }
        self.reported = dropped;
    }
}

fn of_schedule(SchedulePing { schedule, signal, url, text }: SchedulePing) -> Sending {
    let (what, address) = (format!("the pings of schedule {schedule}"), signal.address(&url.0));
    async move { (what, Some(schedule), send(&address, &text).await) }.boxed_local()
}

/// Sends a ping, with a second try.
async fn send(address: &str, text: &str) -> Result<(), String> {
    if ping(address, text.to_owned(), LIMIT).await.is_ok() {
        return Ok(());
    }
    tokio::time::sleep(PAUSE).await;
    ping(address, text.to_owned(), LIMIT).await.map_err(|error| error.why)
}
