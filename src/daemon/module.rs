//! The extension point for the daemon: what a module is. The built-in modules use this trait and no other door.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::state::{module_status::ModuleState, shared::Shared};
use crate::{client::Client, clock::Clock, config::Config, domain::daemon::summary::SummaryTable, store::Store};

/// A long-lived part of the daemon.
///
/// It lives in rounds: `pre_run` once, then `run` and `post_run` again and again. An error or a panic anywhere
/// ends it, and a fresh one is made by its factory after a while; so does a round that makes no progress for
/// the supervisor's patience. A database that does not answer is no fall: the module waits and begins again.
#[async_trait(?Send)]
pub trait DaemonModule {
    /// Is all well? Called before the first round of a module's life, and after each outage of the database.
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let _ = context;
        Ok(())
    }

    /// One round of work.
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()>;

    /// What follows a round: a rest, or the wish to be replaced.
    async fn post_run(&mut self, context: &ModuleContext) -> anyhow::Result<Next> {
        let _ = context;
        Ok(Next::After(Duration::from_secs(1)))
    }

    /// It ends in good order, because it was told to stop or is replaced: puts away what it holds. Not called after an
    /// error or a panic.
    async fn end(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let _ = context;
        Ok(())
    }

    /// What the board is to say of it between its rounds; a module that keeps something else running says how that is.
    fn state(&self) -> ModuleState {
        ModuleState::Running
    }

    /// Whether this is a good moment to be replaced by a fresh one, when the time for it has come.
    fn can_be_discarded(&self, context: &ModuleContext) -> bool {
        let _ = context;
        true
    }

    /// What the module tells of itself.
    fn summary(&self) -> Vec<SummaryTable> {
        Vec::new()
    }
}

/// What follows a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next round, after this time or as soon as somebody rings.
    After(Duration),
    /// Replace me by a fresh one.
    Discard,
}

/// When a module is stopped, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It brings work in, or has nothing to do with it: stopped first.
    Intake,
    /// It carries work out.
    Work,
    /// It records what was done.
    Record,
    /// It keeps the node's place among the others: stopped last.
    Life,
}

/// How to make a module.
#[derive(Clone)]
pub struct ModuleSpec {
    /// Its name.
    pub name: String,
    /// When it is stopped.
    pub stage: Stage,
    /// Makes a fresh one; called on the module's own thread.
    pub factory: Arc<dyn Fn() -> Box<dyn DaemonModule> + Send + Sync>,
}

impl ModuleSpec {
    /// A module of that name, made by that factory.
    pub fn new<M: DaemonModule + 'static>(
        name: &str,
        stage: Stage,
        factory: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.to_owned(), stage, factory: Arc::new(move || Box::new(factory())) }
    }
}

/// What a module knows of the daemon around it.
#[derive(Clone)]
pub struct ModuleContext {
    name: Arc<str>,
    shared: Arc<Shared>,
    stopping: CancellationToken,
    activity: Activity,
}

/// Since when a module has been busy without a sign of progress.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<Mutex<Option<Instant>>>);

impl Activity {
    pub(super) fn set(&self, since: Option<Instant>) {
        *self.0.lock() = since;
    }

    /// For how long it has been busy.
    pub(super) fn busy_for(&self) -> Duration {
        let since = *self.0.lock();
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl ModuleContext {
    pub(super) fn new(name: &str, shared: Arc<Shared>, stopping: CancellationToken, activity: Activity) -> Self {
        Self { name: name.into(), shared, stopping, activity }
    }

    /// The module's own name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// For enqueuing tasks.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.shared.config()
    }

    /// A value that the application shares with its handlers and modules.
    pub fn app_data<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.shared.app_data.get()
    }

    /// Is cancelled when the module is to stop: watch it in rounds that take long.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Says that a long round gets on, so that it is not taken for a hang.
    pub fn progress(&self) {
        self.activity.set(Some(Instant::now()));
    }

    /// The inside of the daemon, for its own modules.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}
