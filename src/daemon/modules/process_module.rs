//! A process module: keeps an external program running, by the same trait as any other module.
//!
//! The program runs under a shepherd that ends with the daemon (`process_module/program.rs`). Before each start, leftovers of an
//! earlier one are stopped (`process_module/leftovers.rs`), so that there is never more than one. The rules are in
//! `src/domain/command/service.rs`.
//!
//! Settings: `[module.NAME]` with a `command`. Logs starts, ends and restarts of the program with their reasons, and what
//! the program writes.

mod environment;
mod leftovers;
mod output_stream;
mod parts;
mod program;
mod stop;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytesize::ByteSize;

pub(in crate::daemon) use self::parts::ProcessParts;
pub(super) use self::{
    environment::environment, leftovers::end_quietly, output_stream::OutputStream, program::ProgramInfo,
    stop::StopSequence,
};
use self::{
    parts::POLL_INTERVAL,
    program::{Program, ProgramRole},
};
use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next, is_outage},
        state::{module_status::ModuleState, programs::Record},
    },
    domain::{
        command::service::{Backoff, ProcessSpec, Recycle, ServiceEnd},
        daemon::summary::SummaryTable,
        text::duration,
    },
    store::StoreError,
};

/// Delay between two tries to take the lock that another daemon holds.
const LOCK_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Tries for which a deleted lock file is left to the daemon that held it.
const LOCK_GRACE_TRIES: u32 = 4;
/// Why a module is not started that another daemon runs.
const ELSEWHERE: &str = "another daemon with the same state_dir runs it";
/// The end of a shepherd that received TERM, or whose fork server was killed.
const INTERRUPTED: &str = "its shepherd was asked to stop, and not by this daemon";
/// Time after which a silent database counts as unavailable.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps one program running.
pub(in crate::daemon) struct ProcessModule {
    spec: ProcessSpec,
    parts: ProcessParts,
    phase: ProgramPhase,
    record: Arc<Record>,
    /// Number of this incarnation among the keepers of that record; 0 before the first round.
    keeper: u64,
    failures: Backoff,
    refusals: Backoff,
    /// The last logged reason why the program is not started.
    logged_reason: Option<String>,
    /// How often the lock file was missing since another daemon held it.
    lock_missing: u32,
    /// The program has run long enough to forget its last failure.
    is_well: bool,
}

/// What runs of the program.
enum ProgramPhase {
    /// Nothing, until then.
    Waiting { until: Instant, after_failure: bool },
    /// The check before the program.
    Checking(Program),
    /// The program.
    Running(Program),
}

impl ProcessModule {
    pub(in crate::daemon) fn new(spec: ProcessSpec, parts: ProcessParts) -> Self {
        Self {
            spec,
            parts,
            phase: ProgramPhase::Waiting { until: Instant::now(), after_failure: false },
            record: Arc::default(),
            keeper: 0,
            failures: Backoff::default(),
            refusals: Backoff::default(),
            logged_reason: None,
            lock_missing: 0,
            is_well: false,
        }
    }

    fn wait(&mut self, delay: Duration, after_failure: bool) {
        let now = Instant::now();
        let until = now.checked_add(delay).unwrap_or(now + Duration::from_secs(86_400));
        self.phase = ProgramPhase::Waiting { until, after_failure };
    }

    /// Puts the start off, and logs the reason once.
    fn postpone(&mut self, why: String, context: &ModuleContext, delay: Duration) {
        let module = context.name();
        self.parts.statuses.update(module, |status| status.waits_for = Some(why.clone()));
        if self.logged_reason.as_ref() != Some(&why) {
            tracing::warn!(%module, "not starting the program now: {why}; trying again");
            self.parts.statuses.update(module, |status| status.last_error = Some(why.clone()));
            self.logged_reason = Some(why);
        }
        self.wait(delay, false);
    }

    /// The program failed, or could not be started.
    fn fail(&mut self, why: &str, context: &ModuleContext, lived: Duration) {
        let delay = self.failures.failed(&self.spec, lived);
        self.record.failures.fetch_add(1, Ordering::Relaxed);
        self.record.set_last_end(why);
        self.parts.statuses.update(context.name(), |status| {
            status.failures += 1;
            status.last_error = Some(why.to_owned());
            status.waits_for = None;
        });
        self.is_well = false;
        tracing::error!(
            module = %context.name(),
            "its program failed ({why}); restarting it in {}",
            duration::text(delay)
        );
        self.wait(delay, true);
    }

    /// Whether this daemon is the one that may start the program. If the lock file of another daemon is deleted, that
    /// daemon has time to lock a new one.
    fn take_lock(&mut self, context: &ModuleContext) -> anyhow::Result<bool> {
        let (processes, module) = (&self.parts.processes, context.name());
        let was_elsewhere = self.logged_reason.as_deref() == Some(ELSEWHERE);
        if was_elsewhere && !processes.lock_exists(module) && self.lock_missing < LOCK_GRACE_TRIES {
            self.lock_missing += 1;
            return Ok(false);
        }
        self.lock_missing = 0;
        Ok(processes.take_lock(module)?)
    }

    /// Starts the check, or the program if it has none.
    async fn begin(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if !self.take_lock(context)? {
            self.postpone(ELSEWHERE.to_owned(), context, LOCK_RETRY_DELAY);
            return Ok(());
        }
        let cleared = leftovers::clear(context, &self.parts, &self.spec).await;
        cleared.context("cannot stop the leftovers of an earlier start")?;
        if context.stopping().is_cancelled() {
            return Ok(());
        }
        if self.spec.needs_database {
            let timeout = DATABASE_TIMEOUT.min(context.config().supervisor.hang_timeout / 2);
            let asked = tokio::time::timeout(timeout, context.store().now()).await;
            asked.map_err(|_| StoreError::Unavailable("the database does not answer".to_owned()))??;
        }
        self.phase = match self.spec.check.clone() {
            Some(check) => ProgramPhase::Checking(self.start(context, &check, ProgramRole::Check).await?),
            None => ProgramPhase::Running(self.start(context, &self.spec.command.argv, ProgramRole::Program).await?),
        };
        Ok(())
    }

    async fn start(&self, context: &ModuleContext, argv: &[String], part: ProgramRole) -> anyhow::Result<Program> {
        // An incarnation that hung and continues must not disturb the one that replaced it.
        let is_keeper = self.record.keeper.load(Ordering::Acquire) == self.keeper;
        anyhow::ensure!(is_keeper, "another incarnation of the module keeps the program now");
        let program = Program::start(context, &self.parts, &self.spec, argv, part).await;
        let program = program.with_context(|| format!("cannot start {}", argv[0]))?;
        if part == ProgramRole::Program {
            self.record.starts.fetch_add(1, Ordering::Relaxed);
            self.parts.statuses.update(context.name(), |status| status.waits_for = None);
            tracing::info!(module = %context.name(), "started its program: {}", argv[0]);
        }
        Ok(program)
    }

    /// The check has ended: starts the program, or puts the start off.
    async fn checked(&mut self, program: Program, context: &ModuleContext) -> anyhow::Result<()> {
        let lived = program.lived();
        match self.spec.judge(&program.settle(context).await?) {
            ServiceEnd::Failed(why) => {
                let delay = self.refusals.failed(&self.spec, lived);
                self.postpone(format!("its check failed: {why}"), context, delay);
            }
            ServiceEnd::Interrupted => self.postpone(INTERRUPTED.to_owned(), context, self.spec.restart_delay),
            ServiceEnd::RestartRequested => {
                self.refusals = Backoff::default();
                self.logged_reason = None;
                self.phase =
                    ProgramPhase::Running(self.start(context, &self.spec.command.argv, ProgramRole::Program).await?);
            }
        }
        Ok(())
    }

    /// The program has ended by itself.
    async fn ended(&mut self, program: Program, context: &ModuleContext) -> anyhow::Result<()> {
        let lived = program.lived();
        match self.spec.judge(&program.settle(context).await?) {
            ServiceEnd::Failed(why) => self.fail(&why, context, lived),
            ServiceEnd::Interrupted => {
                let (delay, module) = (self.spec.restart_delay, context.name());
                tracing::warn!(%module,
                    "its program was stopped: {INTERRUPTED}; restarting it in {}",
                    duration::text(delay)
                );
                self.record.set_last_end(INTERRUPTED);
                self.wait(delay, false);
            }
            ServiceEnd::RestartRequested => {
                let delay = self.spec.restart_delay;
                let module = context.name();
                tracing::info!(%module, "its program ended with exit code 0, which requests a restart; restarting it in {}", duration::text(delay));
                self.record.set_last_end("exit code 0");
                self.wait(delay, false);
            }
        }
        Ok(())
    }

    /// Recycles the program. If it used too much memory soon after its start, a delay keeps that from happening
    /// continuously.
    async fn recycle(&mut self, program: Program, why: Recycle, context: &ModuleContext) -> anyhow::Result<()> {
        let module = context.name();
        let delay = match why {
            Recycle::Age(_) => Duration::ZERO,
            Recycle::Memory { .. } if program.lived() > self.spec.max_restart_delay => Duration::ZERO,
            Recycle::Memory { .. } => self.failures.failed(&self.spec, program.lived()),
        };
        tracing::info!(%module, "recycling its program: {why}");
        program.stop(context, &self.parts, &self.spec).await?;
        self.record.recycled.fetch_add(1, Ordering::Relaxed);
        self.record.set_last_end(format!("recycled: {why}"));
        self.parts.statuses.update(module, |status| status.recycled += 1);
        self.wait(delay, false);
        Ok(())
    }

    /// Forgets the last failure of a program that has run long enough.
    fn forget_failure(&mut self, context: &ModuleContext) {
        match &self.phase {
            ProgramPhase::Running(program) if program.lived() < self.spec.max_restart_delay => self.is_well = false,
            ProgramPhase::Running(_) if !self.is_well => {
                self.is_well = true;
                self.parts.statuses.update(context.name(), |status| status.last_error = None);
            }
            _ => {}
        }
    }

    /// Checks what runs, and acts on it.
    async fn round(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let program = match &mut self.phase {
            ProgramPhase::Waiting { until, .. } => {
                let rest = until.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    return self.begin(context).await;
                }
                tokio::select! {
                    () = tokio::time::sleep(rest.min(POLL_INTERVAL)) => {}
                    () = context.stopping().cancelled() => {}
                }
                return Ok(());
            }
            ProgramPhase::Checking(program) | ProgramPhase::Running(program) => program,
        };
        let until_recycle = self.spec.recycle_after.map_or(Duration::MAX, |age| age.saturating_sub(program.lived()));
        let rest = program.pace().min(until_recycle);
        let has_ended = tokio::select! {
            ended = program.ended() => ended.map(|()| true)?,
            () = tokio::time::sleep(rest) => false,
            () = context.stopping().cancelled() => false,
        };
        program.look(context.name())?;
        let recycle = self.spec.recycle(program.lived(), program.memory());
        if !has_ended && recycle.is_none() {
            // If the lock file was deleted, another daemon may hold a new one now.
            if self.parts.processes.take_lock(context.name()).unwrap_or(true) {
                return Ok(());
            }
            let waiting = ProgramPhase::Waiting { until: Instant::now(), after_failure: false };
            if let ProgramPhase::Checking(program) | ProgramPhase::Running(program) =
                std::mem::replace(&mut self.phase, waiting)
            {
                program.stop(context, &self.parts, &self.spec).await?;
            }
            self.postpone(ELSEWHERE.to_owned(), context, LOCK_RETRY_DELAY);
            return Ok(());
        }
        let waiting = ProgramPhase::Waiting { until: Instant::now(), after_failure: false };
        match (std::mem::replace(&mut self.phase, waiting), recycle) {
            (ProgramPhase::Checking(program), _) if has_ended => self.checked(program, context).await,
            (ProgramPhase::Running(program), _) if has_ended => self.ended(program, context).await,
            (ProgramPhase::Running(program), Some(why)) => self.recycle(program, why, context).await,
            (phase, _) => {
                self.phase = phase;
                Ok(())
            }
        }
    }
}

#[async_trait(?Send)]
impl DaemonModule for ProcessModule {
    async fn pre_run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if self.keeper == 0 {
            self.record = self.parts.processes.record(context.name());
            self.keeper = self.record.keeper.fetch_add(1, Ordering::AcqRel) + 1;
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let round = self.round(context).await;
        self.forget_failure(context);
        match round {
            // The module waits for the database, and begins again.
            Err(error) if is_outage(&error) => Err(error),
            // No other error ends the module: the program is started again.
            Err(error) => {
                self.fail(&format!("{error:#}"), context, Duration::ZERO);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::ZERO))
    }

    async fn end(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let waiting = ProgramPhase::Waiting { until: Instant::now(), after_failure: false };
        if let ProgramPhase::Checking(program) | ProgramPhase::Running(program) =
            std::mem::replace(&mut self.phase, waiting)
        {
            program.stop(context, &self.parts, &self.spec).await?;
        }
        self.parts.processes.release_lock(context.name());
        Ok(())
    }

    fn state(&self) -> ModuleState {
        match &self.phase {
            ProgramPhase::Waiting { after_failure: true, .. } => ModuleState::Failed,
            ProgramPhase::Waiting { .. } | ProgramPhase::Checking(_) => ModuleState::Starting,
            ProgramPhase::Running(_) => ModuleState::Running,
        }
    }

    /// `recycle_after` of a process module counts for its program.
    fn can_be_recycled(&self, _: &ModuleContext) -> bool {
        false
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let columns = ["State", "Pid", "Since", "Memory", "Starts", "Failures", "Recycled", "Last end"];
        let mut table = SummaryTable::new("Process", &columns, "");
        let (state, program) = match &self.phase {
            ProgramPhase::Waiting { after_failure: true, .. } => ("failed", None),
            ProgramPhase::Waiting { .. } => ("waiting", None),
            ProgramPhase::Checking(program) => ("checking", Some(program)),
            ProgramPhase::Running(program) => ("running", Some(program)),
        };
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed).to_string();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let last_end = self.record.last_end.lock().clone();
        table.row([
            state.to_owned(),
            or_dash(program.and_then(Program::pid).map(|pid| pid.to_string())),
            or_dash(program.map(|program| program.since().format("%F %TZ").to_string())),
            or_dash(program.map(|program| ByteSize(program.memory()).to_string())),
            count(&self.record.starts),
            count(&self.record.failures),
            count(&self.record.recycled),
            or_dash(last_end),
        ]);
        vec![table]
    }
}
