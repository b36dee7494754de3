//! The supervisor: starts every module from its factory on a thread of its own, and restarts it when it ends.
//!
//! It does no I/O and waits for nothing. `actix::Supervisor` is not used: it never restarts an actor that panicked, has
//! no back-off, and keeps the state that made the actor fail (ADR 0003).
//!
//! Settings: `[supervisor]` for all modules, `[module.NAME]` for one. Logs each failure with its cause and the delay
//! before the restart.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext as _, Context, Handler, System};

use super::{
    supervised_module::{SupervisedModule, Wanted},
    supervisor_parts::SupervisorParts,
};
use crate::{
    config::{ModuleConfig, SupervisorConfig},
    daemon::{
        messages::{Exit, ModuleExited, ModuleStarted, Ping, Reconfigure, RestartModule, StopStage},
        module::ModuleSpec,
        state::{module_status::ModuleState, wakers::WakeReason},
    },
    domain::{daemon::restart_policy::Response, identity::ModuleName, text::duration},
};

/// The exit code of a daemon whose modules fail too often: `EX_SOFTWARE` of sysexits.h.
pub const GAVE_UP: i32 = 70;
/// Room for messages about ends and starts: far more than there are modules.
const MAILBOX: usize = 1_024;
/// The modules without which nothing works. Their answers are the daemon's liveness.
const VITAL: [ModuleName; 2] = [ModuleName::NODE, ModuleName::DISPATCHER];

/// The actor above all modules.
pub(in crate::daemon) struct Supervisor {
    parts: SupervisorParts,
    config: SupervisorConfig,
    children: HashMap<ModuleName, SupervisedModule>,
    started: Instant,
    /// When it last checked its modules.
    checked: Instant,
    /// Since when it has checked them without a long pause.
    awake_since: Instant,
    /// The daemon stops: no module is added.
    is_stopping: bool,
}

impl Supervisor {
    /// A supervisor of these modules, and of the configured process modules.
    pub(in crate::daemon) fn new(parts: SupervisorParts, modules: Vec<ModuleSpec>) -> Self {
        let config = parts.config();
        let mut children: HashMap<ModuleName, SupervisedModule> = modules
            .into_iter()
            .map(|spec| (spec.name.clone(), SupervisedModule::new(spec.clone(), config.module(&spec.name))))
            .collect();
        for (name, settings) in &config.modules {
            let name = ModuleName::from(name.as_str());
            let child = process_child(&parts, &name, settings).filter(|_| !children.contains_key(&name));
            children.extend(child.map(|child| (name, child)));
        }
        for name in children.keys() {
            parts.statuses.update(name, |status| status.state = ModuleState::Starting);
        }
        let now = Instant::now();
        let config = config.supervisor.clone();
        Self { parts, config, children, started: now, checked: now, awake_since: now, is_stopping: false }
    }

    /// Starts another incarnation of a module, if it is to have one.
    fn start(&mut self, name: &ModuleName, context: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else { return };
        if let Some(pending) = child.pending.take() {
            context.cancel_future(pending);
        }
        if let Some(arbiter) = child.arbiter.take() {
            arbiter.stop();
        }
        child.prepare_incarnation();
        match child.wanted {
            _ if child.stopping.is_cancelled() => {
                return self.parts.statuses.update(name, |status| status.state = ModuleState::Stopped);
            }
            Wanted::Up => {}
            Wanted::Disabled => {
                return self.parts.statuses.update(name, |status| {
                    status.state = ModuleState::Disabled;
                    status.summary.clear();
                });
            }
            Wanted::Removed => {
                self.children.remove(name);
                return self.parts.statuses.remove(name);
            }
        }
        let now = self.parts.surroundings.clock.now();
        self.parts.statuses.update(name, |status| {
            // It becomes running after its first round.
            status.state = ModuleState::Starting;
            status.waits_for = None;
            status.rounds = 0;
            status.started_at = Some(now);
        });
        let arbiter = actix::Arbiter::new();
        arbiter.spawn_fn(child.starter(&self.parts, self.config.recycle_after, context.address()));
        child.arbiter = Some(arbiter);
    }

    /// Pings every module, and replaces those that did not answer.
    fn check(&mut self, context: &mut Context<Self>) {
        let (hang_timeout, ping_interval) = (self.config.hang_timeout, self.config.ping_interval);
        self.notice_own_pause();
        let mut hanging = Vec::new();
        for (name, child) in &self.children {
            let Some(address) = &child.address else { continue };
            if child.is_hanging(hang_timeout, ping_interval, self.awake_since) {
                hanging.push((name.clone(), child.generation));
            } else if address.try_send(Ping).is_err() {
                tracing::debug!(module = %name, "the mailbox is full or closed: no ping");
            }
        }
        for (module, generation) in hanging {
            self.handle(ModuleExited { module, generation, exit: Exit::Hung }, context);
        }
        self.note_liveness(hang_timeout);
    }

    /// If the whole process was paused, no module was pinged, and their silence means nothing.
    fn notice_own_pause(&mut self) {
        let now = Instant::now();
        if now - self.checked > self.config.ping_interval + self.config.hang_timeout / 2 {
            tracing::warn!(
                "the whole process did not run for {}: it was stopped, or the machine suspended or overloaded",
                duration::text(Duration::from_secs((now - self.checked).as_secs()))
            );
            self.awake_since = now;
        }
        self.checked = now;
    }

    /// Counts a sign of life if each vital module has answered since the last one. Modules that are being restarted, or
    /// that wait for the database, are excused; but not if the database answers and only the pool does not.
    fn note_liveness(&mut self, hang_timeout: Duration) {
        let is_well = |name: &ModuleName| {
            let child = self.children.get(name);
            let is_excused = !child.is_some_and(SupervisedModule::lacks_threads)
                && self.parts.statuses.get(name).is_some_and(|status| {
                    status.state.has_stopped()
                        || matches!(status.state, ModuleState::Failed | ModuleState::WaitingForDatabase)
                });
            is_excused || child.is_none_or(|child| child.is_well(hang_timeout))
        };
        if VITAL.iter().all(is_well) && !self.parts.surroundings.store.is_stuck() {
            for name in &VITAL {
                if let Some(child) = self.children.get_mut(name) {
                    child.count_sign_of_life();
                }
            }
            self.parts.liveness.beat();
        }
    }

    /// A module failed: restarts it after a delay, or gives up.
    fn failed(&mut self, name: &ModuleName, why: &str, is_hung: bool, context: &mut Context<Self>) {
        let since_start = self.started.elapsed();
        let Some(child) = self.children.get_mut(name) else { return };
        let policy = child.restart_policy(&self.config.restart);
        let response = child.restarts.record_failure(&policy, since_start);
        child.leave_behind(is_hung);
        self.parts.statuses.update(name, |status| {
            status.state = ModuleState::Failed;
            status.failures += 1;
            status.last_error = Some(why.to_owned());
        });
        match response {
            _ if child.stopping.is_cancelled() => {
                tracing::warn!(module = %name, "failed while it stopped: {why}");
                self.parts.statuses.update(name, |status| status.state = ModuleState::Stopped);
            }
            _ if child.wanted != Wanted::Up => {
                tracing::warn!(module = %name, "failed while it stopped: {why}");
                self.start(name, context);
            }
            Response::RestartAfter(_) if child.lacks_threads() => {
                let why = format!(
                    "{why}; {} of its threads hang in system calls, so it is restarted only when one of them returns",
                    child.hung_threads()
                );
                tracing::error!(module = %name, "failed ({why})");
                self.parts.statuses.update(name, |status| status.last_error = Some(why));
            }
            Response::RestartAfter(delay) => {
                tracing::error!(module = %name, "failed ({why}); restarting it in {}", duration::text(delay));
                let of = name.clone();
                let pending = context.run_later(delay, move |supervisor, context| supervisor.start(&of, context));
                child.pending = Some(pending);
            }
            Response::GiveUp => {
                let window = duration::text(self.config.restart.restart_window);
                let limit = policy.max_restarts;
                tracing::error!(module = %name, "failed ({why}), more than {limit} times within {window}: the daemon ends with exit code {GAVE_UP}");
                System::current().stop_with_code(GAVE_UP);
            }
        }
    }

    /// Acts on what the configuration says about one module now.
    fn reconfigure(&mut self, name: &ModuleName, context: &mut Context<Self>) {
        let config = self.parts.config();
        let Some(child) = self.children.get_mut(name) else { return };
        let settings = config.module(name);
        let is_removed = child.is_process() && settings.process.is_none();
        child.wanted = match (is_removed, settings.enabled) {
            (true, _) => Wanted::Removed,
            (false, true) => Wanted::Up,
            (false, false) => Wanted::Disabled,
        };
        let is_changed = !is_removed && child.settings != settings;
        let is_other = !is_removed && child.settings.process != settings.process;
        if is_changed {
            child.settings = settings;
        }
        if is_other && let Some(spec) = (self.parts.process_module)(name, &child.settings) {
            child.spec = spec;
        }
        match (child.is_running(), child.wanted) {
            (true, Wanted::Up) if is_other => child.end_incarnation(),
            (true, Wanted::Up) if is_changed => self.parts.wakers.wake(name, WakeReason::Configured),
            (true, Wanted::Up) => {}
            (true, _) => child.end_incarnation(),
            // It failed, and waits for its restart.
            (false, Wanted::Up) if child.pending.is_some() => {}
            (false, _) => self.start(name, context),
        }
    }

    /// Replaces a module by a fresh one on request.
    fn restart(&mut self, name: &ModuleName, context: &mut Context<Self>) -> Result<(), String> {
        let Some(child) = self.children.get_mut(name) else {
            let mut known: Vec<&str> = self.children.keys().map(ModuleName::as_str).collect();
            known.sort_unstable();
            return Err(format!("there is no daemon module `{name}`; known: {}", known.join(", ")));
        };
        match child.wanted {
            _ if child.stopping.is_cancelled() => Err(format!("`{name}` is not restarted: the daemon stops")),
            Wanted::Disabled | Wanted::Removed => {
                Err(format!("`{name}` is disabled in the configuration: enable it there, and reload"))
            }
            Wanted::Up => {
                tracing::info!(module = %name, "is restarted on request");
                match child.is_running() {
                    true => child.end_incarnation(),
                    // It failed, and need not wait any longer.
                    false => self.start(name, context),
                }
                Ok(())
            }
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(MAILBOX);
        let names: Vec<ModuleName> = self.children.keys().cloned().collect();
        for name in names {
            self.start(&name, context);
        }
        context.run_interval(self.config.ping_interval.min(self.parts.liveness.wanted()), Self::check);
    }
}

impl Handler<ModuleStarted> for Supervisor {
    type Result = ();

    fn handle(&mut self, started: ModuleStarted, _: &mut Context<Self>) {
        let child = self.children.get_mut(&started.module);
        if let Some(child) = child.filter(|child| child.generation == started.generation) {
            child.address = Some(started.address);
        }
    }
}

impl Handler<ModuleExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exited: ModuleExited, context: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(&exited.module) else { return };
        if child.generation != exited.generation {
            let waits = child.lacks_threads() && child.pending.is_none();
            if child.has_returned(exited.generation) && waits {
                tracing::info!(module = %exited.module, "one of its threads that hung has returned: restarting it");
                self.start(&exited.module, context);
            }
            return;
        }
        let stopping = child.stopping.is_cancelled();
        match exited.exit {
            Exit::Stopped | Exit::Recycled if stopping => {
                child.address = None;
                self.parts.statuses.update(&exited.module, |status| status.state = ModuleState::Stopped);
            }
            Exit::Stopped | Exit::Recycled => {
                if child.wanted == Wanted::Up {
                    tracing::debug!(module = %exited.module, "is recycled");
                    self.parts.statuses.update(&exited.module, |status| status.recycled += 1);
                }
                self.start(&exited.module, context);
            }
            Exit::Failed(why) => self.failed(&exited.module, &why, false, context),
            Exit::Panicked(why) => self.failed(&exited.module, &format!("panic: {why}"), false, context),
            Exit::Hung => self.failed(&exited.module, "it made no progress", true, context),
        }
    }
}

impl Handler<Reconfigure> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Reconfigure, context: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        let config = self.parts.config();
        for name in self.children.keys().cloned().collect::<Vec<ModuleName>>() {
            self.reconfigure(&name, context);
        }
        for (name, settings) in &config.modules {
            let name = ModuleName::from(name.as_str());
            let child = process_child(&self.parts, &name, settings).filter(|_| !self.children.contains_key(&name));
            if let Some(child) = child {
                self.children.insert(name.clone(), child);
                self.start(&name, context);
            }
        }
    }
}

impl Handler<RestartModule> for Supervisor {
    type Result = ();

    fn handle(&mut self, RestartModule { name, reply }: RestartModule, context: &mut Context<Self>) {
        let _ = reply.send(self.restart(&name.into(), context));
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
            if !child.is_running() && child.wanted == Wanted::Up {
                self.start(&name, context);
            }
        }
    }
}

/// A process module as a child; none if its settings name no program.
fn process_child(parts: &SupervisorParts, name: &ModuleName, settings: &ModuleConfig) -> Option<SupervisedModule> {
    (parts.process_module)(name, settings).map(|spec| SupervisedModule::new(spec, settings.clone()))
}
