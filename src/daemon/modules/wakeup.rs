//! `wakeup`: hears of enqueues by other processes, and wakes the modules of this one. PostgreSQL: LISTEN; SQLite: the
//! write-ahead log grows. MySQL and MariaDB have nothing to listen to: there the client library and the command line send
//! datagrams, and the dispatcher polls more often.
//!
//! Settings: none of its own; `database.notify_on_insert` makes plain inserts notify on PostgreSQL, and
//! `database.wakeup_address` is where datagrams are heard. Logs a warning if the machine does not have that address.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::wakers::{WakeReason, Wakers},
    },
    domain::identity::NodeId,
    store::{ConnectOptions, WakeupListener},
};

/// Maximum length of a round: at its end the module has made progress. Half the hang timeout if that is shorter.
const ROUND: Duration = Duration::from_secs(5);
/// How soon it publishes its address again if the node is not registered yet.
const RETRY: Duration = Duration::from_millis(100);

pub(super) struct WakeupModule {
    connect: ConnectOptions,
    wakers: Wakers,
    node: NodeId,
    is_published: bool,
    listener: Option<WakeupListener>,
}

#[async_trait(?Send)]
impl DaemonModule for WakeupModule {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let listener = context.store().listen(&self.connect, context.config().database.wakeup_address).await?;
        self.is_published = listener.address().is_none();
        self.wakers.set_hears_other_processes(listener.hears_all());
        self.wakers.set_hears_schedules(listener.hears_schedules());
        self.listener = Some(listener);
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let Some(listener) = &mut self.listener else { return Ok(()) };
        // A node that registers again has a new row.
        self.is_published &= !context.wake_reasons().contains(WakeReason::Requested);
        if let Some(address) = listener.address().filter(|_| !self.is_published) {
            let published = context.store().publish_wakeup(&self.node, address).await;
            self.is_published = context.store().isolated().part("the address for wake-ups", published)?;
        }
        let round = ROUND.min(context.config().supervisor.hang_timeout / 2);
        let round = if self.is_published || listener.address().is_none() { round } else { round.min(RETRY) };
        tokio::select! {
            wakeup = listener.wait() => self.wakers.announce(wakeup?),
            () = context.stopping().cancelled() => {}
            () = tokio::time::sleep(round) => {}
        }
        Ok(())
    }

    /// From now on the dispatcher has to poll more often.
    async fn end(&mut self, _: &ModuleContext) -> anyhow::Result<()> {
        self.wakers.set_hears_other_processes(false);
        self.wakers.set_hears_schedules(false);
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::ZERO))
    }
}

impl WakeupModule {
    pub(super) fn new(connect: ConnectOptions, wakers: Wakers, node: NodeId) -> Self {
        Self { connect, wakers, node, is_published: false, listener: None }
    }
}
