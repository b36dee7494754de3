//! `wakeup`: hears of enqueues by other processes, and wakes the modules of this one. PostgreSQL: LISTEN; SQLite: the
//! write-ahead log grows; MySQL and MariaDB have nothing to listen to, so the dispatcher polls more often there.
//!
//! Settings: none of its own; `database.notify_on_insert` makes plain inserts notify on PostgreSQL. Logs nothing.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::wakers::Wakers,
    },
    store::{ConnectOptions, WakeupListener},
};

/// Maximum length of a round: at its end the module has made progress. Half the hang timeout if that is shorter.
const ROUND: Duration = Duration::from_secs(5);

pub(super) struct WakeupModule {
    connect: ConnectOptions,
    wakers: Wakers,
    listener: Option<WakeupListener>,
}

#[async_trait(?Send)]
impl DaemonModule for WakeupModule {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let listener = context.store().listen(&self.connect).await?;
        self.wakers.set_hears_other_processes(listener.hears_all());
        self.listener = Some(listener);
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let Some(listener) = &mut self.listener else { return Ok(()) };
        let round = ROUND.min(context.config().supervisor.hang_timeout / 2);
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
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::ZERO))
    }
}

impl WakeupModule {
    pub(super) fn new(connect: ConnectOptions, wakers: Wakers) -> Self {
        Self { connect, wakers, listener: None }
    }
}
