//! `wakeup`: hears from other processes that something was enqueued, and rings the bells of this one.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    daemon::module::{DaemonModule, ModuleContext, Next},
    store::WakeupListener,
};

/// A round of listening; after it, or half the supervisor's patience, the module shows that it lives.
const ROUND: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct WakeupModule {
    listener: Option<WakeupListener>,
}

#[async_trait(?Send)]
impl DaemonModule for WakeupModule {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let shared = context.shared();
        let listener = shared.store.listen(&shared.connect).await?;
        shared.set_hears_all(listener.hears_all());
        self.listener = Some(listener);
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let Some(listener) = &mut self.listener else { return Ok(()) };
        let round = ROUND.min(context.config().supervisor.hang_timeout / 2);
        tokio::select! {
            wakeup = listener.wait() => context.shared().bells.announce(wakeup?),
            () = context.stopping().cancelled() => {}
            () = tokio::time::sleep(round) => {}
        }
        Ok(())
    }

    /// From now on nobody hears anything: the dispatcher is to look more often.
    async fn end(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        context.shared().set_hears_all(false);
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::ZERO))
    }
}
