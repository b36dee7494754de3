//! One life of a module: the thin actor around it, which is the same for all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, WrapFuture as _};
use tokio::sync::Notify;
use tracing::Instrument as _;

use super::{
    messages::{Exit, ModuleExited, Ping, SupervisorAddr},
    panics,
};
use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::module_status::{ModuleState, ModuleStatuses},
    },
    store::{DropInRuntime, StoreError},
};

/// Between two looks at a database that does not answer.
const OUTAGE_REST: Duration = Duration::from_secs(1);
/// An outage is told this often.
const OUTAGE_TOLD: Duration = Duration::from_secs(60);

/// A module while it lives.
pub(in crate::daemon) struct ModuleActor {
    life: Option<ModuleLoop>,
    pongs: Arc<AtomicU64>,
    started: Instant,
    tomb: ExitGuard,
}

/// What a life needs.
pub(in crate::daemon) struct ModuleLoop {
    pub(in crate::daemon) module: Box<dyn DaemonModule>,
    pub(in crate::daemon) context: ModuleContext,
    pub(in crate::daemon) bell: Arc<Notify>,
    pub(in crate::daemon) board: ModuleStatuses,
    pub(in crate::daemon) busy: crate::daemon::module::Activity,
    /// When it is replaced, unless the configuration has another opinion of this module.
    pub(in crate::daemon) discard_after: Duration,
}

/// Tells the supervisor of the end, whatever kind of end it is: it is dropped by an unwinding panic as well.
pub(in crate::daemon) struct ExitGuard {
    pub(in crate::daemon) module: String,
    pub(in crate::daemon) generation: u64,
    pub(in crate::daemon) how: Exit,
    pub(in crate::daemon) supervisor: SupervisorAddr,
}

impl ModuleActor {
    pub(in crate::daemon) fn new(life: ModuleLoop, pongs: Arc<AtomicU64>, tomb: ExitGuard) -> Self {
        Self { life: Some(life), pongs, started: Instant::now(), tomb }
    }
}

impl Actor for ModuleActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(life) = self.life.take() else { return };
        // Whatever happens in this life is the module's in the log. Of an error's level, so that no filter hides whose
        // it is; the journal knows the module by the second field.
        let name = life.context.name();
        let span = tracing::error_span!("module", name, module = name);
        let living = DropInRuntime::new(life.live().instrument(span)).into_actor(self);
        context.spawn(actix::fut::ActorFutureExt::map(living, |how, actor: &mut Self, context| {
            actor.tomb.how = how;
            context.stop();
        }));
    }
}

impl Handler<Ping> for ModuleActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {
        self.pongs.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let how = match std::thread::panicking() {
            true => Exit::Panicked(panics::last_on_this_thread()),
            false => self.how.clone(),
        };
        let ended = ModuleExited { module: self.module.clone(), generation: self.generation, how };
        if self.supervisor.try_send(ended).is_err() {
            tracing::error!(module = %self.module, "the supervisor does not take the news of a module's end");
        }
    }
}

impl ModuleLoop {
    /// The rounds of a module, up to its end.
    async fn live(mut self) -> Exit {
        let born = Instant::now();
        let mut outage = Outage::default();
        loop {
            let result = self.rounds(born, &mut outage).await;
            self.busy.set(None);
            match result {
                Ok(end) => return self.end(end).await,
                Err(error) if is_outage(&error) => {
                    outage.tell(self.context.name(), &error);
                    self.board.note(self.context.name(), |status| {
                        status.state = ModuleState::WaitingForDatabase;
                        status.last_error = Some(format!("{error:#}"));
                    });
                    if self.rest(OUTAGE_REST).await {
                        return self.end(Exit::Stopped).await;
                    }
                }
                Err(error) => return Exit::Failed(format!("{error:#}")),
            }
        }
    }

    /// The end in good order.
    async fn end(&mut self, end: Exit) -> Exit {
        self.context.progress();
        let ended = self.module.end(&self.context).await;
        self.busy.set(None);
        match ended {
            Ok(()) => end,
            Err(error) => Exit::Failed(format!("{error:#}")),
        }
    }

    /// Rounds without an outage.
    async fn rounds(&mut self, born: Instant, outage: &mut Outage) -> anyhow::Result<Exit> {
        self.context.progress();
        self.module.pre_run(&self.context).await?;
        let state = self.module.state();
        self.board.note(self.context.name(), |status| {
            // Whoever has waited for the database has to show first that it answers.
            if status.state == ModuleState::Starting {
                status.state = state;
            }
        });
        loop {
            self.context.progress();
            self.module.run(&self.context).await?;
            let next = self.module.post_run(&self.context).await?;
            self.busy.set(None);
            outage.over(self.context.name());
            let (state, summary) = (self.module.state(), self.module.summary());
            self.board.note(self.context.name(), |status| {
                status.state = state;
                status.rounds += 1;
                status.summary = summary;
            });
            let settings = self.context.config().module(self.context.name());
            let discard_after = settings.recycle_after.unwrap_or(self.discard_after);
            match next {
                _ if self.context.stopping().is_cancelled() => return Ok(Exit::Stopped),
                Next::Discard => return Ok(Exit::Discarded),
                Next::After(_) if born.elapsed() >= discard_after && self.module.can_be_discarded(&self.context) => {
                    return Ok(Exit::Discarded);
                }
                Next::After(rest) => {
                    if self.rest(settings.interval.unwrap_or(rest)).await {
                        return Ok(Exit::Stopped);
                    }
                }
            }
        }
    }

    /// Rests until the time is over or the bell rings; true if the module is to stop.
    async fn rest(&self, length: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.context.stopping().cancelled() => true,
            () = self.bell.notified() => false,
            () = tokio::time::sleep(length) => false,
        }
    }
}

/// Whether an error comes from a database that does not answer.
pub(in crate::daemon) fn is_outage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_outage))
}

/// An outage as one module lives through it: told once a minute.
#[derive(Default)]
struct Outage {
    told: Option<Instant>,
}

impl Outage {
    fn tell(&mut self, module: &str, error: &anyhow::Error) {
        if self.told.is_none_or(|told| told.elapsed() >= OUTAGE_TOLD) {
            self.told = Some(Instant::now());
            tracing::warn!(module, "{error:#}; trying again every second");
        }
    }

    fn over(&mut self, module: &str) {
        if self.told.take().is_some() {
            tracing::info!(module, "the database answers again");
        }
    }
}
