//! The supervisor: starts every module from its factory on a thread of its own, and starts it again when it ends.
//!
//! It does no I/O and waits for nobody. `actix::Supervisor` is not used: it never restarts an actor that
//! panicked, knows no back-off, and keeps the state that made the actor fall (ADR 0003).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, Addr, Arbiter, AsyncContext as _, Context, Handler, System};
use tokio_util::sync::CancellationToken;

use super::{
    board::ModuleState,
    incarnation::{Incarnation, Life, Tomb},
    messages::{End, Ended, Ping, StopStage, Up},
    module::{Activity, ModuleContext, ModuleSpec, Stage},
    panics,
    shared::Shared,
};
use crate::{
    config::SupervisorConfig,
    domain::restart::{Falls, Response},
};

/// The exit code of a daemon whose modules fall too often: `EX_SOFTWARE` of sysexits.h.
pub const GAVE_UP: i32 = 70;
/// News of ends and starts; far more than there are modules.
const MAILBOX: usize = 1_024;

/// The actor over all modules.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    config: SupervisorConfig,
    children: HashMap<String, Child>,
    started: Instant,
}

/// One module, whichever its present incarnation.
struct Child {
    spec: ModuleSpec,
    stopping: CancellationToken,
    generation: u64,
    falls: Falls,
    arbiter: Option<Arbiter>,
    address: Option<Addr<Incarnation>>,
    activity: Activity,
    pongs: Arc<AtomicU64>,
    /// When the present incarnation was started, and asked first.
    since: Instant,
}

impl Supervisor {
    /// A supervisor over these modules.
    pub(super) fn new(shared: Arc<Shared>, modules: Vec<ModuleSpec>) -> Self {
        let config = shared.config().supervisor.clone();
        let children = modules.into_iter().map(|spec| (spec.name.clone(), Child::new(spec))).collect();
        Self { shared, config, children, started: Instant::now() }
    }

    /// Gives a module a new life.
    fn start(&mut self, name: &str, context: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else { return };
        if let Some(arbiter) = child.arbiter.take() {
            arbiter.stop();
        }
        if child.stopping.is_cancelled() {
            self.shared.board.note(name, |status| status.state = ModuleState::Stopped);
            return;
        }
        child.generation += 1;
        child.address = None;
        child.activity = Activity::default();
        child.pongs = Arc::default();
        child.since = Instant::now();
        let now = self.shared.clock.now();
        self.shared.board.note(name, |status| {
            status.state = ModuleState::Running;
            status.rounds = 0;
            status.started_at = Some(now);
        });
        let arbiter = Arbiter::new();
        let birth = child.birth(self.shared.clone(), self.config.discard, context.address());
        arbiter.spawn_fn(birth);
        child.arbiter = Some(arbiter);
    }

    /// Asks every module whether it lives, and replaces those that did not answer.
    fn check(&mut self, context: &mut Context<Self>) {
        let patience = self.config.patience;
        let mut hanging = Vec::new();
        for (name, child) in &self.children {
            let Some(address) = &child.address else { continue };
            let answered = child.since + Duration::from_millis(child.pongs.load(Ordering::Relaxed));
            if answered.elapsed() > patience + self.config.ping_interval || child.activity.busy_for() > patience {
                hanging.push((name.clone(), child.generation));
            } else if address.try_send(Ping).is_err() {
                tracing::debug!(module = %name, "does not take a ping");
            }
        }
        self.shared.pulse.beat();
        for (module, generation) in hanging {
            self.handle(Ended { module, generation, how: End::Hung }, context);
        }
    }

    fn fallen(&mut self, name: &str, why: &str, context: &mut Context<Self>) {
        let since_start = self.started.elapsed();
        let Some(child) = self.children.get_mut(name) else { return };
        let response = child.falls.fall(&self.config.restart, since_start);
        let falls = child.falls.total();
        // A thread that hangs in a system call cannot be ended: it is left behind, its late news ignored.
        child.generation += 1;
        child.address = None;
        if let Some(arbiter) = child.arbiter.take() {
            arbiter.stop();
        }
        self.shared.board.note(name, |status| {
            status.state = ModuleState::Fallen;
            status.falls = falls;
            status.last_error = Some(why.to_owned());
        });
        match response {
            Response::RestartAfter(delay) => {
                tracing::error!(module = %name, "fell ({why}); starting it again in {}", crate::domain::span::text(delay));
                let name = name.to_owned();
                context.run_later(delay, move |supervisor, context| supervisor.start(&name, context));
            }
            Response::GiveUp => {
                let window = crate::domain::span::text(self.config.restart.window);
                tracing::error!(module = %name, "fell ({why}), too often within {window}: giving up, exit code {GAVE_UP}");
                System::current().stop_with_code(GAVE_UP);
            }
        }
    }
}

impl Child {
    fn new(spec: ModuleSpec) -> Self {
        Self {
            spec,
            stopping: CancellationToken::new(),
            generation: 0,
            falls: Falls::default(),
            arbiter: None,
            address: None,
            activity: Activity::default(),
            pongs: Arc::default(),
            since: Instant::now(),
        }
    }

    /// What the new thread does first: make the module and the actor around it.
    fn birth(
        &self,
        shared: Arc<Shared>,
        discard_after: Duration,
        supervisor: Addr<Supervisor>,
    ) -> impl FnOnce() + Send + 'static {
        let (name, generation, factory) = (self.spec.name.clone(), self.generation, self.spec.factory.clone());
        let (stopping, activity, pongs) = (self.stopping.clone(), self.activity.clone(), self.pongs.clone());
        move || {
            panics::supervise_this_thread();
            // The tomb stands before the factory is called: a factory may panic as well.
            let tomb = Tomb { module: name.clone(), generation, how: End::Stopped, supervisor: supervisor.clone() };
            let life = Life {
                module: factory(),
                bell: shared.bells.of(&name),
                board: shared.board.clone(),
                busy: activity.clone(),
                discard_after,
                context: ModuleContext::new(&name, shared, stopping, activity),
            };
            let address = Incarnation::new(life, pongs, tomb).start();
            let _ = supervisor.try_send(Up { module: name, generation, address });
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        let names: Vec<String> = self.children.keys().cloned().collect();
        for name in names {
            self.start(&name, context);
        }
        context.run_interval(self.config.ping_interval, Self::check);
    }
}

impl Handler<Up> for Supervisor {
    type Result = ();

    fn handle(&mut self, up: Up, _: &mut Context<Self>) {
        if let Some(child) = self.children.get_mut(&up.module).filter(|child| child.generation == up.generation) {
            child.address = Some(up.address);
        }
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: Ended, context: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(&ended.module).filter(|child| child.generation == ended.generation)
        else {
            return;
        };
        let stopping = child.stopping.is_cancelled();
        match ended.how {
            End::Stopped | End::Discarded if stopping => {
                child.address = None;
                self.shared.board.note(&ended.module, |status| status.state = ModuleState::Stopped);
            }
            End::Stopped | End::Discarded => {
                tracing::debug!(module = %ended.module, "is replaced by a fresh one");
                self.shared.board.note(&ended.module, |status| status.discards += 1);
                self.start(&ended.module, context);
            }
            End::Failed(why) => self.fallen(&ended.module, &why, context),
            End::Panicked(why) => self.fallen(&ended.module, &format!("panic: {why}"), context),
            End::Hung => self.fallen(&ended.module, "no sign of life", context),
        }
    }
}

impl Handler<StopStage> for Supervisor {
    type Result = ();

    fn handle(&mut self, StopStage(stage): StopStage, _: &mut Context<Self>) {
        for child in self.children.values().filter(|child| child.spec.stage == stage) {
            child.stopping.cancel();
        }
    }
}

/// Whether every module of a stage has stopped.
pub(super) fn has_stopped(shared: &Shared, modules: &[(String, Stage)], stage: Stage) -> bool {
    modules
        .iter()
        .filter(|(_, of)| *of == stage)
        .all(|(name, _)| shared.board.of(name).is_none_or(|status| status.state == ModuleState::Stopped))
}
