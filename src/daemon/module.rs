//! The extension point of the daemon: what a module is. Built-in modules pass through the same trait, the same
//! [`ModuleSpec`] and the same [`ModuleContext`] as an application's own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use sexton_client::client::Client;
use tokio_util::sync::CancellationToken;

use super::{
    state::{
        config_in_force::ConfigInForce,
        module_status::ModuleState,
        wakers::{WakeReasons, Waker},
    },
    stop_stage::Stage,
};
use crate::{
    clock::Clock,
    config::Config,
    domain::{daemon::summary::SummaryTable, identity::ModuleName},
    handler::AppData,
    store::{Store, StoreError},
};

/// A long-lived part of the daemon, under supervision.
///
/// It lives in rounds: `pre_run` once, then `run` and `post_run` again and again. An error or a panic in any of them
/// ends this incarnation, and after a delay the factory makes a fresh one. So does a round that makes no progress for
/// `supervisor.hang_timeout`. A database that does not answer is not a failure: the module waits and begins again with
/// `pre_run`.
#[async_trait(?Send)]
pub trait DaemonModule {
    /// Checks that the module can work. Called before the first round, and after each outage of the database.
    ///
    /// # Errors
    /// An error ends this incarnation.
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let _ = context;
        Ok(())
    }

    /// Does one round of work.
    ///
    /// # Errors
    /// An error ends this incarnation.
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()>;

    /// Decides what follows the round: a rest, one second by default, or a fresh incarnation.
    ///
    /// # Errors
    /// An error ends this incarnation.
    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        let _ = context;
        Ok(Next::After(Duration::from_secs(1)))
    }

    /// Puts away what the module holds, because it stops or is recycled. Not called after an error or a panic.
    ///
    /// # Errors
    /// An error is logged as a failure of the module.
    async fn end(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let _ = context;
        Ok(())
    }

    /// The state that `sexton module list` shows between rounds. A module that keeps something else running reports the
    /// state of that.
    fn state(&self) -> ModuleState {
        ModuleState::Running
    }

    /// Whether the module may be recycled now that its time is over: `true` recycles it. Otherwise it is asked again after
    /// the next round.
    fn can_be_recycled(&self, context: &ModuleContext) -> bool {
        let _ = context;
        true
    }

    /// The tables that `sexton summary` shows for the module.
    fn summary(&self) -> Vec<SummaryTable> {
        Vec::new()
    }
}

/// What follows a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next round, after this time or at the next wake-up.
    After(Duration),
    /// A fresh incarnation of the module.
    Recycle,
}

/// How to make a module.
#[derive(Clone)]
pub struct ModuleSpec {
    /// Unique name, as in `[module.NAME]`.
    pub name: ModuleName,
    /// When it is stopped.
    pub stage: Stage,
    /// Makes a fresh module and gives it what it needs. Called on the module's own thread.
    pub factory: Arc<dyn Fn() -> Box<dyn DaemonModule> + Send + Sync>,
}

impl ModuleSpec {
    /// A module of that name, made by that factory.
    pub fn new<M: DaemonModule + 'static>(
        name: impl Into<ModuleName>,
        stage: Stage,
        factory: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), stage, factory: Arc::new(move || Box::new(factory())) }
    }
}

/// What every module may use.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) in_force: ConfigInForce,
    pub(super) app_data: Arc<AppData>,
}

/// What a module can use of the daemon around it.
#[derive(Clone)]
pub struct ModuleContext {
    name: ModuleName,
    surroundings: Surroundings,
    waker: Waker,
    stopping: CancellationToken,
    activity: Activity,
    reasons: WakeReasons,
}

/// Since when a module has been busy without a sign of progress.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<Mutex<Option<Instant>>>);

impl Activity {
    pub(super) fn set(&self, since: Option<Instant>) {
        *self.0.lock() = since;
    }

    /// For how long the module has been busy.
    pub(super) fn busy_for(&self) -> Duration {
        self.0.lock().map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl ModuleContext {
    pub(super) fn new(
        name: ModuleName,
        surroundings: Surroundings,
        waker: Waker,
        stopping: CancellationToken,
        activity: Activity,
    ) -> Self {
        Self { name, surroundings, waker, stopping, activity, reasons: WakeReasons::default() }
    }

    /// The module's own name.
    pub fn name(&self) -> &ModuleName {
        &self.name
    }

    /// The daemon's store: no stable interface. [`ModuleContext::client`] enqueues, and has a connection.
    #[doc(hidden)]
    pub fn store(&self) -> &Store {
        &self.surroundings.store
    }

    /// Enqueues tasks, follows them, and has a connection for the application's own transactions.
    pub fn client(&self) -> &Client {
        &self.surroundings.client
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.surroundings.clock
    }

    /// The configuration in force: no stable interface.
    #[doc(hidden)]
    pub fn config(&self) -> Arc<Config> {
        self.surroundings.in_force.config()
    }

    /// A value that the application shares with its handlers and modules.
    pub fn app_data<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.surroundings.app_data.get()
    }

    /// Cancelled when the module is to stop: watch it in rounds that take long.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Reports progress within a long round, so that the supervisor does not take the module for hung.
    pub fn progress(&self) {
        self.activity.set(Some(Instant::now()));
    }

    /// Wakes this module, from any thread.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Why this round began before its time. Empty if it did not.
    pub fn wake_reasons(&self) -> WakeReasons {
        self.reasons
    }

    /// A round begins: everything that happened before counts as seen.
    pub(super) fn begin_round(&mut self) {
        self.reasons = self.waker.take();
        self.progress();
    }

    /// A round is over.
    pub(super) fn end_round(&self) {
        self.activity.set(None);
    }
}

/// Whether an error comes from a database that does not answer.
pub(super) fn is_outage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_outage))
}
