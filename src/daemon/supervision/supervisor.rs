//! The supervisor: starts every module from its factory on a thread of its own, and starts it again when it ends.
//!
//! It does no I/O and waits for nobody. `actix::Supervisor` is not used: it never restarts an actor that
//! panicked, knows no back-off, and keeps the state that made the actor fall (ADR 0003).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext as _, Context, Handler, System};

use super::{
    child::{Child, Wanted},
    messages::{Exit, ModuleExited, ModuleStarted, Ping, Reconfigure, RestartModule, StopStage},
};
use crate::{
    config::SupervisorConfig,
    daemon::{
        module::{ModuleSpec, Stage},
        state::{module_status::ModuleState, shared::Shared},
    },
    domain::{daemon::restart::Response, text::duration},
};

/// The exit code of a daemon whose modules fall too often: `EX_SOFTWARE` of sysexits.h.
pub const GAVE_UP: i32 = 70;
/// News of ends and starts; far more than there are modules.
const MAILBOX: usize = 1_024;
/// The modules on which everything else depends.
const VITAL: [&str; 2] = ["node", "dispatcher"];

/// The actor over all modules.
pub(in crate::daemon) struct Supervisor {
    shared: Arc<Shared>,
    config: SupervisorConfig,
    children: HashMap<String, Child>,
    started: Instant,
    /// When it looked after its modules last.
    checked: Instant,
    /// Since when it has done so without a long pause.
    awake_since: Instant,
    /// The daemon stops: nothing new begins.
    is_stopping: bool,
}

impl Supervisor {
    /// A supervisor over these modules, and those programs that are to be kept running.
    pub(in crate::daemon) fn new(shared: Arc<Shared>, modules: Vec<ModuleSpec>) -> Self {
        let config = shared.config();
        let mut children: HashMap<String, Child> = modules
            .into_iter()
            .map(|spec| (spec.name.clone(), Child::new(spec.clone(), config.module(&spec.name))))
            .collect();
        for (name, settings) in config.modules.iter().filter(|(_, settings)| settings.process.is_some()) {
            let child = Child::of_process(name, settings).filter(|_| !children.contains_key(name));
            children.extend(child.map(|child| (name.clone(), child)));
        }
        for name in children.keys() {
            shared.board.note(name, |status| status.state = ModuleState::Starting);
        }
        let now = Instant::now();
        let config = config.supervisor.clone();
        Self { shared, config, children, started: now, checked: now, awake_since: now, is_stopping: false }
    }

    /// Gives a module a new life, if it is to have one.
    fn start(&mut self, name: &str, context: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else { return };
        if let Some(pending) = child.pending.take() {
            context.cancel_future(pending);
        }
        if let Some(arbiter) = child.arbiter.take() {
            arbiter.stop();
        }
        child.begin_anew();
        match child.wanted {
            _ if child.stopping.is_cancelled() => {
                return self.shared.board.note(name, |status| status.state = ModuleState::Stopped);
            }
            Wanted::ModuleStarted => {}
            Wanted::Disabled => {
                return self.shared.board.note(name, |status| {
                    status.state = ModuleState::Disabled;
                    status.summary.clear();
                });
            }
            Wanted::Gone => {
                self.children.remove(name);
                return self.shared.board.remove(name);
            }
        }
        let now = self.shared.clock.now();
        self.shared.board.note(name, |status| {
            // At work, it says so itself after its first round.
            status.state = ModuleState::Starting;
            status.waits_for = None;
            status.rounds = 0;
            status.started_at = Some(now);
        });
        let arbiter = actix::Arbiter::new();
        let birth = child.birth(self.shared.clone(), self.config.recycle_after, context.address());
        arbiter.spawn_fn(birth);
        child.arbiter = Some(arbiter);
    }

    /// Asks every module whether it lives, and replaces those that did not answer.
    fn check(&mut self, context: &mut Context<Self>) {
        let (patience, ping_interval) = (self.config.hang_timeout, self.config.ping_interval);
        self.notice_own_absence();
        let mut hanging = Vec::new();
        for (name, child) in &self.children {
            let Some(address) = &child.address else { continue };
            if child.is_hanging(patience, ping_interval, self.awake_since) {
                hanging.push((name.clone(), child.generation));
            } else if address.try_send(Ping).is_err() {
                tracing::debug!(module = %name, "does not take a ping");
            }
        }
        for (module, generation) in hanging {
            self.handle(ModuleExited { module, generation, how: Exit::Hung }, context);
        }
        self.feel_pulse(patience);
    }

    /// If the whole process stood still, nobody was asked, and the silence of a module means nothing.
    fn notice_own_absence(&mut self) {
        let now = Instant::now();
        if now - self.checked > self.config.ping_interval + self.config.hang_timeout / 2 {
            tracing::warn!(
                "the daemon stood still for {}",
                duration::text(Duration::from_secs((now - self.checked).as_secs()))
            );
            self.awake_since = now;
        }
        self.checked = now;
    }

    /// Raises the pulse if everything vital has answered since it was raised last. What is being started again, or waits
    /// for the database, is in good hands.
    fn feel_pulse(&mut self, patience: Duration) {
        let is_well = |name: &&str| {
            let is_excused = self.shared.board.of(name).is_some_and(|status| {
                status.state.is_at_rest()
                    || matches!(status.state, ModuleState::Fallen | ModuleState::WaitingForDatabase)
            });
            is_excused || self.children.get(*name).is_none_or(|child| child.is_well(patience))
        };
        if VITAL.iter().all(is_well) {
            for name in VITAL {
                if let Some(child) = self.children.get_mut(name) {
                    child.feel();
                }
            }
            self.shared.pulse.beat();
        }
    }

    fn fallen(&mut self, name: &str, why: &str, context: &mut Context<Self>) {
        let since_start = self.started.elapsed();
        let Some(child) = self.children.get_mut(name) else { return };
        let policy = child.restart_policy(&self.config.restart);
        let response = child.falls.record_failure(&policy, since_start);
        // A thread that hangs in a system call cannot be ended: it is left behind, its late news ignored.
        child.generation += 1;
        child.address = None;
        if let Some(arbiter) = child.arbiter.take() {
            arbiter.stop();
        }
        self.shared.board.note(name, |status| {
            status.state = ModuleState::Fallen;
            status.falls += 1;
            status.last_error = Some(why.to_owned());
        });
        match response {
            // Nothing begins any more, and nothing is given up that ends anyhow.
            _ if child.stopping.is_cancelled() => {
                tracing::warn!(module = %name, "fell while it was ended: {why}");
                self.shared.board.note(name, |status| status.state = ModuleState::Stopped);
            }
            _ if child.wanted != Wanted::ModuleStarted => {
                tracing::warn!(module = %name, "fell while it was ended: {why}");
                self.start(name, context);
            }
            Response::RestartAfter(delay) => {
                tracing::error!(module = %name, "fell ({why}); starting it again in {}", duration::text(delay));
                let of = name.to_owned();
                let pending = context.run_later(delay, move |supervisor, context| supervisor.start(&of, context));
                child.pending = Some(pending);
            }
            Response::GiveUp => {
                let window = duration::text(self.config.restart.restart_window);
                tracing::error!(module = %name, "fell ({why}), too often within {window}: giving up, exit code {GAVE_UP}");
                System::current().stop_with_code(GAVE_UP);
            }
        }
    }

    /// Takes over what the configuration says of one module by now.
    fn reconfigure(&mut self, name: &str, context: &mut Context<Self>) {
        let config = self.shared.config();
        let Some(child) = self.children.get_mut(name) else { return };
        let settings = config.module(name);
        let is_gone = child.is_process() && settings.process.is_none();
        child.wanted = match (is_gone, settings.enabled) {
            (true, _) => Wanted::Gone,
            (false, true) => Wanted::ModuleStarted,
            (false, false) => Wanted::Disabled,
        };
        let is_changed = !is_gone && child.settings != settings;
        let is_other = !is_gone && child.settings.process != settings.process;
        if is_changed {
            child.settings = settings;
        }
        if is_other && let Some(fresh) = Child::of_process(name, &child.settings) {
            child.spec = fresh.spec;
        }
        match (child.is_alive(), child.wanted) {
            (true, Wanted::ModuleStarted) if is_other => child.tell_to_end(),
            (true, Wanted::ModuleStarted) if is_changed => self.shared.bells.ring(name),
            (true, Wanted::ModuleStarted) => {}
            (true, _) => child.tell_to_end(),
            // It fell, and has its time to wait.
            (false, Wanted::ModuleStarted) if child.pending.is_some() => {}
            (false, _) => self.start(name, context),
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        self.shared.set_supervisor(context.address());
        let names: Vec<String> = self.children.keys().cloned().collect();
        for name in names {
            self.start(&name, context);
        }
        context.run_interval(self.config.ping_interval.min(self.shared.pulse.wanted()), Self::check);
    }
}

impl Handler<ModuleStarted> for Supervisor {
    type Result = ();

    fn handle(&mut self, up: ModuleStarted, _: &mut Context<Self>) {
        if let Some(child) = self.children.get_mut(&up.module).filter(|child| child.generation == up.generation) {
            child.address = Some(up.address);
        }
    }
}

impl Handler<ModuleExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: ModuleExited, context: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(&ended.module).filter(|child| child.generation == ended.generation)
        else {
            return;
        };
        let stopping = child.stopping.is_cancelled();
        match ended.how {
            Exit::Stopped | Exit::Discarded if stopping => {
                child.address = None;
                self.shared.board.note(&ended.module, |status| status.state = ModuleState::Stopped);
            }
            Exit::Stopped | Exit::Discarded => {
                if child.wanted == Wanted::ModuleStarted {
                    tracing::debug!(module = %ended.module, "is replaced by a fresh one");
                    self.shared.board.note(&ended.module, |status| status.discards += 1);
                }
                self.start(&ended.module, context);
            }
            Exit::Failed(why) => self.fallen(&ended.module, &why, context),
            Exit::Panicked(why) => self.fallen(&ended.module, &format!("panic: {why}"), context),
            Exit::Hung => self.fallen(&ended.module, "no sign of life", context),
        }
    }
}

impl Handler<Reconfigure> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Reconfigure, context: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        let config = self.shared.config();
        for name in self.children.keys().cloned().collect::<Vec<_>>() {
            self.reconfigure(&name, context);
        }
        for (name, settings) in &config.modules {
            if let Some(child) = Child::of_process(name, settings).filter(|_| !self.children.contains_key(name)) {
                self.children.insert(name.clone(), child);
                self.start(name, context);
            }
        }
    }
}

impl Handler<RestartModule> for Supervisor {
    type Result = Result<(), String>;

    fn handle(&mut self, RestartModule { name }: RestartModule, context: &mut Context<Self>) -> Self::Result {
        let Some(child) = self.children.get_mut(&name) else {
            let mut known: Vec<&str> = self.children.keys().map(String::as_str).collect();
            known.sort_unstable();
            return Err(format!("there is no daemon module `{name}`; known: {}", known.join(", ")));
        };
        match child.wanted {
            _ if child.stopping.is_cancelled() => Err(format!("`{name}` is not restarted: the daemon stops")),
            Wanted::Disabled | Wanted::Gone => {
                Err(format!("`{name}` is disabled in the configuration: enable it there, and reload"))
            }
            Wanted::ModuleStarted => {
                tracing::info!(module = %name, "is restarted on request");
                match child.is_alive() {
                    true => child.tell_to_end(),
                    // It fell, and need not wait any longer.
                    false => self.start(&name, context),
                }
                Ok(())
            }
        }
    }
}

impl Handler<StopStage> for Supervisor {
    type Result = ();

    fn handle(&mut self, StopStage(stage): StopStage, context: &mut Context<Self>) {
        self.is_stopping = true;
        let of_stage = self.children.values().filter(|child| child.spec.stage == stage);
        for name in of_stage.map(|child| child.spec.name.clone()).collect::<Vec<_>>() {
            let Some(child) = self.children.get(&name) else { continue };
            child.stopping.cancel();
            if !child.is_alive() && child.wanted == Wanted::ModuleStarted {
                self.start(&name, context);
            }
        }
    }
}

/// Whether every module of a stage has stopped. Programs that are kept running are not among those `modules` that were
/// registered; they are of the first stage.
pub(in crate::daemon) fn has_stopped(shared: &Shared, modules: &[(String, Stage)], stage: Stage) -> bool {
    let stage_of =
        |name: &str| modules.iter().find(|(known, _)| known == name).map_or(Stage::Intake, |(_, stage)| *stage);
    let of_stage = shared.board.read().into_iter().filter(|status| stage_of(&status.name) == stage);
    of_stage.into_iter().all(|status| status.state.is_at_rest())
}
