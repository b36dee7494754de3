//! One module as its supervisor sees it, whichever its present incarnation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor as _, Addr, Arbiter, SpawnHandle};
use tokio_util::sync::CancellationToken;

use super::{
    messages::{Exit, ModuleStarted, SupervisorAddr},
    module_actor::{ExitGuard, ModuleActor, ModuleLoop},
    panics,
};
use crate::{
    config::ModuleConfig,
    daemon::{
        module::{Activity, ModuleContext, ModuleSpec, Stage},
        modules::process,
        state::shared::Shared,
    },
    domain::daemon::restart::{RestartPolicy, Restarts},
};

/// A program that was ended is given so long beyond its own time: the kernel may be slow to let go of it.
const AFTERMATH: Duration = Duration::from_secs(20);

/// A module under supervision.
pub(in crate::daemon) struct Child {
    pub(in crate::daemon) spec: ModuleSpec,
    pub(in crate::daemon) wanted: Wanted,
    /// What the configuration says of it.
    pub(in crate::daemon) settings: ModuleConfig,
    /// The daemon stops.
    pub(in crate::daemon) stopping: CancellationToken,
    /// The present incarnation is to end.
    life: CancellationToken,
    /// Since when it is to end, while the daemon goes on.
    ending: Option<Instant>,
    pub(in crate::daemon) generation: u64,
    pub(in crate::daemon) falls: Restarts,
    pub(in crate::daemon) arbiter: Option<Arbiter>,
    pub(in crate::daemon) address: Option<Addr<ModuleActor>>,
    /// It fell, and will be started then.
    pub(in crate::daemon) pending: Option<SpawnHandle>,
    activity: Activity,
    pongs: Arc<AtomicU64>,
    /// Its last answer of which the pulse has made use.
    pongs_felt: u64,
    /// When the present incarnation was started, and asked first.
    since: Instant,
}

/// What is to become of a module when its present incarnation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Wanted {
    /// A fresh one follows.
    ModuleStarted,
    /// The configuration says that it is not to run.
    Disabled,
    /// The configuration does not know it any more.
    Gone,
}

impl Child {
    /// A module that was registered.
    pub(in crate::daemon) fn new(spec: ModuleSpec, settings: ModuleConfig) -> Self {
        Self {
            spec,
            wanted: if settings.enabled { Wanted::ModuleStarted } else { Wanted::Disabled },
            settings,
            stopping: CancellationToken::new(),
            life: CancellationToken::new(),
            ending: None,
            generation: 0,
            falls: Restarts::default(),
            arbiter: None,
            address: None,
            pending: None,
            activity: Activity::default(),
            pongs: Arc::default(),
            pongs_felt: 0,
            since: Instant::now(),
        }
    }

    /// A program that is kept running; none if the settings name none.
    pub(in crate::daemon) fn of_process(name: &str, settings: &ModuleConfig) -> Option<Self> {
        let process = settings.process.clone()?;
        let spec = ModuleSpec::new(name, Stage::Intake, move || process::ProcessModule::new(process.clone()));
        Some(Self::new(spec, settings.clone()))
    }

    /// Makes room for another incarnation.
    pub(in crate::daemon) fn begin_anew(&mut self) {
        self.generation += 1;
        self.address = None;
        self.activity = Activity::default();
        self.pongs = Arc::default();
        self.pongs_felt = 0;
        self.since = Instant::now();
        self.life = self.stopping.child_token();
        self.ending = None;
    }

    /// Whether it has an incarnation.
    pub(in crate::daemon) fn is_alive(&self) -> bool {
        self.arbiter.is_some()
    }

    /// Whether it is a program that is kept running.
    pub(in crate::daemon) fn is_process(&self) -> bool {
        self.settings.process.is_some()
    }

    /// The rule of its restarts. What keeps a program running is not what the daemon depends on, and is never given up.
    pub(in crate::daemon) fn restart_policy(&self, usual: &RestartPolicy) -> RestartPolicy {
        let max_restarts = if self.is_process() { usize::MAX } else { usual.max_restarts };
        RestartPolicy { max_restarts, ..*usual }
    }

    /// Lets the present incarnation end in good order.
    pub(in crate::daemon) fn tell_to_end(&mut self) {
        self.life.cancel();
        self.ending.get_or_insert_with(Instant::now);
    }

    /// Whether it gives no sign of life, or does not end although it was told to. Of its silence counts what the supervisor,
    /// itself awake, has heard.
    pub(in crate::daemon) fn is_hanging(
        &self,
        patience: Duration,
        ping_interval: Duration,
        awake_since: Instant,
    ) -> bool {
        let heard = awake_since.elapsed();
        let answered = self.since + Duration::from_millis(self.pongs.load(Ordering::Relaxed));
        let to_end = match &self.settings.process {
            Some(process) => patience.max(process.stop_timeout.saturating_add(AFTERMATH)),
            None => patience,
        };
        answered.elapsed().min(heard) > patience + ping_interval
            || self.activity.busy_for().min(heard) > patience
            || self.ending.is_some_and(|since| since.elapsed().min(heard) > to_end)
    }

    /// Whether it has answered since the pulse was felt last, and gets on.
    pub(in crate::daemon) fn is_well(&self, patience: Duration) -> bool {
        self.pongs.load(Ordering::Relaxed) != self.pongs_felt && self.activity.busy_for() <= patience
    }

    /// The pulse is felt.
    pub(in crate::daemon) fn feel(&mut self) {
        self.pongs_felt = self.pongs.load(Ordering::Relaxed);
    }

    /// What the new thread does first: make the module and the actor around it.
    pub(in crate::daemon) fn birth(
        &self,
        shared: Arc<Shared>,
        discard_after: Duration,
        supervisor: SupervisorAddr,
    ) -> impl FnOnce() + Send + 'static {
        let (name, generation, factory) = (self.spec.name.clone(), self.generation, self.spec.factory.clone());
        let (stopping, activity, pongs) = (self.life.clone(), self.activity.clone(), self.pongs.clone());
        move || {
            panics::supervise_this_thread();
            // The tomb stands before the factory is called: a factory may panic as well.
            let tomb =
                ExitGuard { module: name.clone(), generation, how: Exit::Stopped, supervisor: supervisor.clone() };
            let life = ModuleLoop {
                module: factory(),
                bell: shared.bells.of(&name),
                board: shared.board.clone(),
                busy: activity.clone(),
                discard_after,
                context: ModuleContext::new(&name, shared, stopping, activity),
            };
            let address = ModuleActor::new(life, pongs, tomb).start();
            let _ = supervisor.try_send(ModuleStarted { module: name, generation, address });
        }
    }
}
