//! `pinger`: pings the `ping_url` of schedules when their runs begin, succeed and fail; and that of the daemon each minute
//! while it is well.
//!
//! A receiver that hangs or fails costs nothing but its own pings. A ping is tried twice and then dropped.
//!
//! Settings: `ping_url` of tasks and of `[daemon]`. Logs once that pings fail.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};

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
/// Maximum number of pings at once.
const AT_ONCE: usize = 8;
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
}

#[async_trait(?Send)]
impl DaemonModule for Pinger {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let own = self.of_daemon(context);
        let of_schedules = self.pings.take_first().into_iter().map(|ping| {
            let SchedulePing { schedule, signal, url, text } = ping;
            (format!("the pings of schedule {schedule}"), signal.address(&url.0), text)
        });
        let all: Vec<(String, String, String)> = own.into_iter().chain(of_schedules).collect();
        let tries = stream::iter(all).map(|(what, address, text)| async move { (what, send(&address, &text).await) });
        let mut tries = pin!(tries.buffer_unordered(AT_ONCE));
        loop {
            let (what, result) = tokio::select! {
                next = tries.next() => match next {
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
            match result {
                Ok(()) => {
                    self.sent += 1;
                    context.store().isolated().forget(&what);
                }
                Err(why) => {
                    self.failed += 1;
                    context.store().isolated().note(&what, why);
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
        let mut table = SummaryTable::new("Pings", &["Sent", "Failed"], "No ping was sent.");
        if self.sent + self.failed > 0 {
            table.row([self.sent.to_string(), self.failed.to_string()]);
        }
        vec![table]
    }
}

impl Pinger {
    pub(super) fn new(node: String, pings: Pings, statuses: ModuleStatuses) -> Self {
        Self { node, pings, statuses, pinged_at: None, sent: 0, failed: 0 }
    }

    /// The ping of the daemon, if it is due and the daemon is well.
    fn of_daemon(&mut self, context: &ModuleContext) -> Option<(String, String, String)> {
        let Secret(url) = context.config().daemon.ping_url.clone()?;
        if self.pinged_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return None;
        }
        // Modules that start or wait for the database are not well yet: it looks again soon.
        if !self.statuses.unhealthy().is_empty() {
            return None;
        }
        self.pinged_at = Some(Instant::now());
        let text = format!("node {} is well", self.node);
        Some(("the pings of the daemon".to_owned(), PingSignal::Success.address(&url), text))
    }
}

/// Sends a ping, with a second try.
async fn send(address: &str, text: &str) -> Result<(), String> {
    if ping(address, text.to_owned(), LIMIT).await.is_ok() {
        return Ok(());
    }
    tokio::time::sleep(PAUSE).await;
    ping(address, text.to_owned(), LIMIT).await.map_err(|error| error.why)
}
