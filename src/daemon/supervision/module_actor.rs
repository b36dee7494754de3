//! The actor around one incarnation of a module. It is the same for all modules.
//!
//! The rounds run as a future inside the actor, beside its mailbox: while a module waits for the database, its actor
//! answers pings and takes wake-ups. A panic unwinds through the actor and drops its [`ExitGuard`], which notifies the
//! supervisor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Recipient, WrapFuture as _};
use tokio::sync::Notify;
use tracing::Instrument as _;

use crate::{
    daemon::{
        messages::{Exit, ModuleExited, Ping, WakeUp},
        module::{DaemonModule, ModuleContext, Next, is_outage},
        state::{
            module_status::{ModuleState, ModuleStatuses},
            wakers::Waker,
        },
    },
    domain::identity::ModuleName,
    store::DropInRuntime,
    telemetry::panic_messages,
};

/// Delay between two tries while the database does not answer.
const OUTAGE_DELAY: Duration = Duration::from_secs(1);
/// A lasting outage is logged this often.
const OUTAGE_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Room for one wake-up and for the pings of a module whose thread is blocked; more would say nothing new.
pub(super) const MAILBOX: usize = 4;

/// One incarnation of a module.
pub(super) struct ModuleActor {
    rounds: Option<Rounds>,
    woken: Arc<Notify>,
    waker: Waker,
    /// When it last answered a ping, in milliseconds since `started`.
    answered: Arc<AtomicU64>,
    started: Instant,
    guard: ExitGuard,
}

/// The rounds of one incarnation.
pub(super) struct Rounds {
    pub(super) module: Box<dyn DaemonModule>,
    pub(super) context: ModuleContext,
    pub(super) statuses: ModuleStatuses,
    /// The incarnation is recycled after this, unless `[module.NAME]` says otherwise.
    pub(super) recycle_after: Duration,
    pub(super) woken: Arc<Notify>,
}

/// Notifies the supervisor when the actor ends, however it ends: an unwinding panic drops it as well.
pub(super) struct ExitGuard {
    pub(super) module: ModuleName,
    pub(super) generation: u64,
    pub(super) exit: Exit,
    pub(super) supervisor: Recipient<ModuleExited>,
}

impl ModuleActor {
    pub(super) fn new(rounds: Rounds, answered: Arc<AtomicU64>, guard: ExitGuard) -> Self {
        let (woken, waker) = (rounds.woken.clone(), rounds.context.waker().clone());
        Self { rounds: Some(rounds), woken, waker, answered, started: Instant::now(), guard }
    }

    /// Called after each message. A wake-up for which the mailbox had no room is found here.
    fn check_reasons(&self) {
        if self.waker.is_pending() {
            self.woken.notify_one();
        }
    }
}

impl Actor for ModuleActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        self.waker.attach(context.address().recipient());
        let Some(rounds) = self.rounds.take() else { return };
        // Every event in the rounds belongs to the module. The span has the level of an error, so that no filter hides
        // whose event it is; the journal knows the module by the second field.
        let name = rounds.context.name().clone();
        let span = tracing::error_span!("module", name = name.as_str(), module = name.as_str());
        let living = DropInRuntime::new(rounds.live().instrument(span)).into_actor(self);
        context.spawn(actix::fut::ActorFutureExt::map(living, |exit, actor: &mut Self, context| {
            actor.guard.exit = exit;
            context.stop();
        }));
    }
}

impl Handler<Ping> for ModuleActor {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) {
        self.answered.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.check_reasons();
    }
}

impl Handler<WakeUp> for ModuleActor {
    type Result = ();

    fn handle(&mut self, _: WakeUp, _: &mut Context<Self>) {
        self.check_reasons();
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let exit = match std::thread::panicking() {
            true => Exit::Panicked(panic_messages::last_on_this_thread()),
            false => self.exit.clone(),
        };
        let exited = ModuleExited { module: self.module.clone(), generation: self.generation, exit };
        if let Err(error) = self.supervisor.try_send(exited) {
            tracing::error!(module = %self.module, "cannot notify the supervisor that the module ended: {error}");
        }
    }
}

impl Rounds {
    /// Runs rounds until the incarnation ends.
    async fn live(mut self) -> Exit {
        let started = Instant::now();
        let mut outage = Outage::default();
        loop {
            let result = self.run(started, &mut outage).await;
            self.context.end_round();
            match result {
                Ok(exit) => return self.end(exit).await,
                Err(error) if is_outage(&error) => {
                    outage.log(self.context.name(), &error);
                    self.statuses.update(self.context.name(), |status| {
                        status.state = ModuleState::WaitingForDatabase;
                        status.last_error = Some(format!("{error:#}"));
                    });
                    let stopping = self.context.stopping().clone();
                    // Wake-ups wait, too: a try for each of them would only load the server.
                    if tokio::time::timeout(OUTAGE_DELAY, stopping.cancelled()).await.is_ok() {
                        return self.end(Exit::Stopped).await;
                    }
                }
                Err(error) => return Exit::Failed(format!("{error:#}")),
            }
        }
    }

    /// Ends the incarnation cleanly.
    async fn end(&mut self, exit: Exit) -> Exit {
        self.context.progress();
        let ended = self.module.end(&self.context).await;
        self.context.end_round();
        match ended {
            Ok(()) => exit,
            Err(error) => Exit::Failed(format!("{error:#}")),
        }
    }

    /// Runs rounds until the incarnation ends or the database does not answer.
    async fn run(&mut self, started: Instant, outage: &mut Outage) -> anyhow::Result<Exit> {
        self.context.progress();
        self.module.pre_run(&self.context).await?;
        let state = self.module.state();
        self.statuses.update(self.context.name(), |status| {
            // After an outage the first whole round shows that the database answers.
            if status.state == ModuleState::Starting {
                status.state = state;
            }
        });
        loop {
            self.context.begin_round();
            self.module.run(&self.context).await?;
            let next = self.module.post_run(&self.context).await?;
            self.context.end_round();
            outage.over(self.context.name());
            self.show_round();
            let settings = self.context.config().module(self.context.name());
            let recycle_after = settings.recycle_after.unwrap_or(self.recycle_after);
            match next {
                _ if self.context.stopping().is_cancelled() => return Ok(Exit::Stopped),
                Next::Recycle => return Ok(Exit::Recycled),
                Next::After(_) if started.elapsed() >= recycle_after && self.module.can_be_recycled(&self.context) => {
                    return Ok(Exit::Recycled);
                }
                Next::After(rest) => {
                    if self.rest(settings.interval.unwrap_or(rest)).await {
                        return Ok(Exit::Stopped);
                    }
                }
            }
        }
    }

    fn show_round(&self) {
        let (state, summary) = (self.module.state(), self.module.summary());
        self.statuses.update(self.context.name(), |status| {
            status.state = state;
            status.rounds += 1;
            status.summary = summary;
        });
    }

    /// Rests until the time is over or the module is woken. True if the module is to stop.
    async fn rest(&self, length: Duration) -> bool {
        let over = tokio::time::sleep(length);
        tokio::pin!(over);
        while !self.context.waker().is_pending() {
            tokio::select! {
                biased;
                () = self.context.stopping().cancelled() => return true,
                () = self.woken.notified() => {}
                () = &mut over => return false,
            }
        }
        self.context.stopping().is_cancelled()
    }
}

/// Outages of the database as one module sees them. However often the database comes and goes, they are logged once a
/// minute.
#[derive(Default)]
struct Outage {
    logged: Option<Instant>,
    /// It was logged, and its end was not.
    is_told: bool,
}

impl Outage {
    fn log(&mut self, module: &ModuleName, error: &anyhow::Error) {
        if self.logged.is_none_or(|logged| logged.elapsed() >= OUTAGE_LOG_INTERVAL) {
            self.logged = Some(Instant::now());
            self.is_told = true;
            tracing::warn!(%module, "{error:#}; trying again every second");
        }
    }

    fn over(&mut self, module: &ModuleName) {
        if std::mem::take(&mut self.is_told) {
            tracing::info!(%module, "the database answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_a_minute_however_often_it_ends() {
        let (module, error) = (ModuleName::NODE, anyhow::anyhow!("away"));
        let mut outage = Outage::default();
        outage.log(&module, &error);
        let first = outage.logged;
        outage.over(&module);
        outage.log(&module, &error);
        assert_eq!((outage.logged, outage.is_told), (first, false), "it is too soon");
        outage.logged = Instant::now().checked_sub(OUTAGE_LOG_INTERVAL);
        outage.log(&module, &error);
        assert!(outage.is_told && outage.logged != first);
    }
}
