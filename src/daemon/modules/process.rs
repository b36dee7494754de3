//! A process module: keeps an external program running, by the same trait as any other module.
//!
//! The program runs under a shepherd that ends with the daemon (`process/life.rs`). Before each start, what may be left
//! of an earlier one is ended (`process/left.rs`), so that there is never more than one. What is decided about it
//! stands in `src/domain/process.rs`.

mod leftovers;
mod program;
mod stop;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_trait::async_trait;
use bytesize::ByteSize;

use self::program::{Program, ProgramRole};
use crate::{
    daemon::{
        module::{DaemonModule, ModuleContext, Next},
        state::{module_status::ModuleState, processes::Record},
    },
    domain::{
        command::service::{Backoff, ProcessSpec, Recycle, ServiceEnd},
        daemon::summary::SummaryTable,
        text::duration,
    },
    store::StoreError,
};

/// How long a round takes at most, if nothing happens.
const LOOK: Duration = Duration::from_millis(100);
/// Between two tries to get the seat that another daemon has.
const SEAT_LOOK: Duration = Duration::from_secs(1);
/// So many looks long a seat is missing before somebody takes it who has waited for it.
const SEAT_PATIENCE: u32 = 4;
/// Why a module is not started that is run by another daemon.
const ELSEWHERE: &str = "another daemon with the same state_dir keeps it running";
/// What a shepherd does when somebody sends it TERM, or its fork server is killed.
const INTERRUPTED: &str = "its shepherd was told to end it, and not by this daemon";
/// A database that says nothing at all for so long is away.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);

/// Keeps one program running.
pub(in crate::daemon) struct ProcessModule {
    spec: ProcessSpec,
    phase: ProgramPhase,
    record: Arc<Record>,
    /// Which of the keepers of that record this one is.
    keeper: u64,
    falls: Backoff,
    refusals: Backoff,
    /// What was told last of why it is not started.
    told: Option<String>,
    /// How often the seat was not there since another daemon had it.
    seat_missed: u32,
    /// It has run for so long that its last trouble is forgotten.
    is_well: bool,
}

/// What there is of the program.
enum ProgramPhase {
    /// Nothing, until then.
    Waiting { until: Instant, after_fall: bool },
    /// The check that goes before it.
    Checking(Program),
    /// It runs.
    Running(Program),
}

impl ProcessModule {
    /// A keeper of that program.
    pub(in crate::daemon) fn new(spec: ProcessSpec) -> Self {
        Self {
            spec,
            phase: ProgramPhase::Waiting { until: Instant::now(), after_fall: false },
            record: Arc::default(),
            keeper: 0,
            falls: Backoff::default(),
            refusals: Backoff::default(),
            told: None,
            seat_missed: 0,
            is_well: false,
        }
    }

    fn wait(&mut self, delay: Duration, after_fall: bool) {
        let now = Instant::now();
        let until = now.checked_add(delay).unwrap_or(now + Duration::from_secs(86_400));
        self.phase = ProgramPhase::Waiting { until, after_fall };
    }

    /// Says once why the program is not started now.
    fn not_now(&mut self, why: String, context: &ModuleContext, delay: Duration) {
        let module = context.name();
        context.shared().board.note(module, |status| status.waits_for = Some(why.clone()));
        if self.told.as_ref() != Some(&why) {
            tracing::warn!(module, "is not started now: {why}; it is tried again");
            context.shared().board.note(module, |status| status.last_error = Some(why.clone()));
            self.told = Some(why);
        }
        self.wait(delay, false);
    }

    /// The program fell, or could not be started.
    fn fell(&mut self, why: &str, context: &ModuleContext, lived: Duration) {
        let delay = self.falls.failed(&self.spec, lived);
        self.record.falls.fetch_add(1, Ordering::Relaxed);
        self.record.set_last_end(why);
        context.shared().board.note(context.name(), |status| {
            status.falls += 1;
            status.last_error = Some(why.to_owned());
            status.waits_for = None;
        });
        self.is_well = false;
        tracing::error!(
            module = context.name(),
            "its program fell ({why}); starting it again in {}",
            duration::text(delay)
        );
        self.wait(delay, true);
    }

    /// Whether this daemon is the one that may start it. Where somebody has removed the seat of the one who has it, that
    /// one has time to take it again.
    fn take_seat(&mut self, context: &ModuleContext) -> anyhow::Result<bool> {
        let (processes, module) = (&context.shared().processes, context.name());
        if self.told.as_deref() == Some(ELSEWHERE) && !processes.knows_seat(module) && self.seat_missed < SEAT_PATIENCE
        {
            self.seat_missed += 1;
            return Ok(false);
        }
        self.seat_missed = 0;
        Ok(processes.take_seat(module)?)
    }

    /// Starts the program, or what goes before it.
    async fn begin(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        if !self.take_seat(context)? {
            self.not_now(ELSEWHERE.to_owned(), context, SEAT_LOOK);
            return Ok(());
        }
        leftovers::clear(context, &self.spec)
            .await
            .context("what is left of an earlier start cannot be cleared away")?;
        if context.stopping().is_cancelled() {
            return Ok(());
        }
        if self.spec.needs_database {
            let patience = DATABASE_PATIENCE.min(context.config().supervisor.patience / 2);
            let asked = tokio::time::timeout(patience, context.store().now()).await;
            asked.map_err(|_| StoreError::Unavailable("the database does not answer".to_owned()))??;
        }
        self.phase = match self.spec.check.clone() {
            Some(check) => ProgramPhase::Checking(self.start(context, &check, ProgramRole::Check).await?),
            None => ProgramPhase::Running(self.start(context, &self.spec.command.argv, ProgramRole::Program).await?),
        };
        Ok(())
    }

    async fn start(&self, context: &ModuleContext, argv: &[String], part: ProgramRole) -> anyhow::Result<Program> {
        // One that hung and has come to itself again is not to disturb whoever has taken its place.
        let is_keeper = self.record.keeper.load(Ordering::Acquire) == self.keeper;
        anyhow::ensure!(is_keeper, "another incarnation of the module looks after it by now");
        let life = Program::start(context, &self.spec, argv, part).await;
        let life = life.with_context(|| format!("cannot start {}", argv[0]))?;
        if part == ProgramRole::Program {
            self.record.starts.fetch_add(1, Ordering::Relaxed);
            context.shared().board.note(context.name(), |status| status.waits_for = None);
            tracing::info!(module = context.name(), "its program is started: {}", argv[0]);
        }
        Ok(life)
    }

    /// The check has ended: the program is started, or not now.
    async fn checked(&mut self, life: Program, context: &ModuleContext) -> anyhow::Result<()> {
        let lived = life.lived();
        match self.spec.judge(&life.settle(context).await?) {
            ServiceEnd::Failed(why) => {
                let delay = self.refusals.failed(&self.spec, lived);
                self.not_now(format!("its check failed: {why}"), context, delay);
            }
            ServiceEnd::Interrupted => self.not_now(INTERRUPTED.to_owned(), context, self.spec.restart_delay),
            ServiceEnd::RestartRequested => {
                self.refusals = Backoff::default();
                self.told = None;
                self.phase =
                    ProgramPhase::Running(self.start(context, &self.spec.command.argv, ProgramRole::Program).await?);
            }
        }
        Ok(())
    }

    /// The program has ended by itself.
    async fn ended(&mut self, life: Program, context: &ModuleContext) -> anyhow::Result<()> {
        let lived = life.lived();
        match self.spec.judge(&life.settle(context).await?) {
            ServiceEnd::Failed(why) => self.fell(&why, context, lived),
            ServiceEnd::Interrupted => {
                let (delay, module) = (self.spec.restart_delay, context.name());
                tracing::warn!(
                    module,
                    "its program was ended: {INTERRUPTED}; starting it again in {}",
                    duration::text(delay)
                );
                self.record.set_last_end(INTERRUPTED);
                self.wait(delay, false);
            }
            ServiceEnd::RestartRequested => {
                let delay = self.spec.restart_delay;
                let module = context.name();
                tracing::info!(module, "its program has ended; starting it again in {}", duration::text(delay));
                self.record.set_last_end("exit code 0");
                self.wait(delay, false);
            }
        }
        Ok(())
    }

    /// The program is replaced by a fresh one; after a wait if it has needed too much soon after its start, so that this
    /// does not go on without a pause.
    async fn recycle(&mut self, life: Program, why: Recycle, context: &ModuleContext) -> anyhow::Result<()> {
        let module = context.name();
        let delay = match why {
            Recycle::Age(_) => Duration::ZERO,
            Recycle::Memory { .. } if life.lived() > self.spec.max_restart_delay => Duration::ZERO,
            Recycle::Memory { .. } => self.falls.failed(&self.spec, life.lived()),
        };
        tracing::info!(module, "its program is replaced by a fresh one: {why}");
        life.stop(context, &self.spec).await?;
        self.record.recycled.fetch_add(1, Ordering::Relaxed);
        self.record.set_last_end(format!("recycled: {why}"));
        context.shared().board.note(module, |status| status.discards += 1);
        self.wait(delay, false);
        Ok(())
    }

    /// A program that has run for long enough is in order, whatever was before.
    fn forget_trouble(&mut self, context: &ModuleContext) {
        match &self.phase {
            ProgramPhase::Running(life) if life.lived() < self.spec.max_restart_delay => self.is_well = false,
            ProgramPhase::Running(_) if !self.is_well => {
                self.is_well = true;
                context.shared().board.note(context.name(), |status| status.last_error = None);
            }
            _ => {}
        }
    }

    /// One look at what there is, and what follows from it.
    async fn round(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let life = match &mut self.phase {
            ProgramPhase::Waiting { until, .. } => {
                let rest = until.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    return self.begin(context).await;
                }
                tokio::select! {
                    () = tokio::time::sleep(rest.min(LOOK)) => {}
                    () = context.stopping().cancelled() => {}
                }
                return Ok(());
            }
            ProgramPhase::Checking(life) | ProgramPhase::Running(life) => life,
        };
        let until_discard = self.spec.discard.map_or(Duration::MAX, |age| age.saturating_sub(life.lived()));
        let rest = life.pace().min(until_discard);
        let has_ended = tokio::select! {
            ended = life.ended() => ended.map(|()| true)?,
            () = tokio::time::sleep(rest) => false,
            () = context.stopping().cancelled() => false,
        };
        life.look(context.name())?;
        let recycle = self.spec.recycle(life.lived(), life.memory());
        if !has_ended && recycle.is_none() {
            // Somebody may have removed the seat, and another daemon may have it now.
            if context.shared().processes.take_seat(context.name()).unwrap_or(true) {
                return Ok(());
            }
            let waiting = ProgramPhase::Waiting { until: Instant::now(), after_fall: false };
            if let ProgramPhase::Checking(life) | ProgramPhase::Running(life) =
                std::mem::replace(&mut self.phase, waiting)
            {
                life.stop(context, &self.spec).await?;
            }
            self.not_now(ELSEWHERE.to_owned(), context, SEAT_LOOK);
            return Ok(());
        }
        let waiting = ProgramPhase::Waiting { until: Instant::now(), after_fall: false };
        match (std::mem::replace(&mut self.phase, waiting), recycle) {
            (ProgramPhase::Checking(life), _) if has_ended => self.checked(life, context).await,
            (ProgramPhase::Running(life), _) if has_ended => self.ended(life, context).await,
            (ProgramPhase::Running(life), Some(why)) => self.recycle(life, why, context).await,
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
            self.record = context.shared().processes.record(context.name());
            self.keeper = self.record.keeper.fetch_add(1, Ordering::AcqRel) + 1;
        }
        Ok(())
    }

    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let round = self.round(context).await;
        self.forget_trouble(context);
        match round {
            // The module waits for the database, and begins again.
            Err(error) if crate::daemon::supervision::module_actor::is_outage(&error) => Err(error),
            // Whatever else is wrong is no reason to give anything up: it is tried again.
            Err(error) => {
                self.fell(&format!("{error:#}"), context, Duration::ZERO);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(Duration::ZERO))
    }

    async fn end(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let waiting = ProgramPhase::Waiting { until: Instant::now(), after_fall: false };
        if let ProgramPhase::Checking(life) | ProgramPhase::Running(life) = std::mem::replace(&mut self.phase, waiting)
        {
            life.stop(context, &self.spec).await?;
        }
        context.shared().processes.leave_seat(context.name());
        Ok(())
    }

    fn state(&self) -> ModuleState {
        match &self.phase {
            ProgramPhase::Waiting { after_fall: true, .. } => ModuleState::Fallen,
            ProgramPhase::Waiting { .. } | ProgramPhase::Checking(_) => ModuleState::Starting,
            ProgramPhase::Running(_) => ModuleState::Running,
        }
    }

    /// The program has a time of its own.
    fn can_be_discarded(&self, _: &ModuleContext) -> bool {
        false
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let columns = ["State", "Pid", "Since", "Memory", "Starts", "Falls", "Recycled", "Last end"];
        let mut table = SummaryTable::new("Process", &columns, "");
        let (state, life) = match &self.phase {
            ProgramPhase::Waiting { after_fall: true, .. } => ("fallen", None),
            ProgramPhase::Waiting { .. } => ("waiting", None),
            ProgramPhase::Checking(life) => ("checking", Some(life)),
            ProgramPhase::Running(life) => ("running", Some(life)),
        };
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed).to_string();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let last_end = self.record.last_end.lock().clone();
        table.row([
            state.to_owned(),
            or_dash(life.and_then(Program::pid).map(|pid| pid.to_string())),
            or_dash(life.map(|life| life.since().format("%F %TZ").to_string())),
            or_dash(life.map(|life| ByteSize(life.memory()).to_string())),
            count(&self.record.starts),
            count(&self.record.falls),
            count(&self.record.recycled),
            or_dash(last_end),
        ]);
        vec![table]
    }
}
