//! One module as the supervisor sees it, whichever its present incarnation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor as _, Addr, Arbiter, Recipient, SpawnHandle};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    module_actor::{ExitGuard, ModuleActor, Rounds},
    supervisor_parts::SupervisorParts,
};
use crate::{
    config::ModuleConfig,
    daemon::{
        messages::{Exit, ModuleExited, ModuleStarted, Ping},
        module::{Activity, ModuleContext, ModuleSpec},
    },
    domain::daemon::restart_policy::{RestartPolicy, Restarts},
    telemetry::panic_messages,
};

/// Grace beyond a stopped program's own `stop_timeout`: the kernel may be slow to release it.
const STOP_MARGIN: Duration = Duration::from_secs(20);

/// Maximum number of threads of one module that may hang at the same time. Such a thread cannot be ended, so replacing it without a bound
/// would use up the process.
const MAX_HUNG_THREADS: usize = 3;

/// A module under supervision.
pub(super) struct SupervisedModule {
    pub(super) spec: ModuleSpec,
    pub(super) settings: ModuleConfig,
    pub(super) wanted: Wanted,
    /// Cancelled when the daemon stops modules of its stage.
    pub(super) stopping: CancellationToken,
    /// Cancelled when the present incarnation is to end.
    incarnation: CancellationToken,
    /// Since when the present incarnation is to end while the daemon continues.
    ending_since: Option<Instant>,
    pub(super) generation: u64,
    pub(super) restarts: Restarts,
    pub(super) arbiter: Option<Arbiter>,
    pub(super) address: Option<Recipient<Ping>>,
    /// It failed, and this starts it again.
    pub(super) pending: Option<SpawnHandle>,
    /// The generations whose threads hang: they gave no sign of life, and have not ended since.
    hung: Vec<u64>,
    activity: Activity,
    /// When it last answered a ping, in milliseconds since `started`.
    answered: Arc<AtomicU64>,
    /// The answer that was last counted as a sign of life.
    counted_answer: u64,
    /// When the present incarnation was started.
    started: Instant,
}

/// What follows when the present incarnation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A fresh one.
    Up,
    /// None: the configuration disables the module.
    Disabled,
    /// None: the configuration has no such module any more.
    Removed,
}

impl SupervisedModule {
    pub(super) fn new(spec: ModuleSpec, settings: ModuleConfig) -> Self {
        let stopping = CancellationToken::new();
        Self {
            spec,
            wanted: if settings.enabled { Wanted::Up } else { Wanted::Disabled },
            settings,
            incarnation: stopping.child_token(),
            stopping,
            ending_since: None,
            generation: 0,
            restarts: Restarts::default(),
            arbiter: None,
            address: None,
            pending: None,
            hung: Vec::new(),
            activity: Activity::default(),
            answered: Arc::default(),
            counted_answer: 0,
            started: Instant::now(),
        }
    }

    /// Prepares for another incarnation.
    pub(super) fn prepare_incarnation(&mut self) {
        self.generation += 1;
        self.address = None;
        self.activity = Activity::default();
        self.answered = Arc::default();
        self.counted_answer = 0;
        self.started = Instant::now();
        self.incarnation = self.stopping.child_token();
        self.ending_since = None;
    }

    /// Leaves the thread of the present incarnation behind. Its late messages are ignored.
    pub(super) fn leave_behind(&mut self, is_hung: bool) {
        if is_hung {
            self.hung.push(self.generation);
        }
        self.generation += 1;
        self.address = None;
        if let Some(arbiter) = self.arbiter.take() {
            arbiter.stop();
        }
    }

    /// How many of its threads hang.
    pub(super) fn hung_threads(&self) -> usize {
        self.hung.len()
    }

    /// Whether it gets no further thread, because [`MAX_HUNG_THREADS`] of them hang.
    pub(super) fn lacks_threads(&self) -> bool {
        self.hung.len() >= MAX_HUNG_THREADS
    }

    /// Notes that an earlier incarnation has ended. True if it had been left behind as hung.
    pub(super) fn has_returned(&mut self, generation: u64) -> bool {
        let before = self.hung.len();
        self.hung.retain(|hung| *hung != generation);
        self.hung.len() < before
    }

    /// Whether it has an incarnation.
    pub(super) fn is_running(&self) -> bool {
        self.arbiter.is_some()
    }

    /// Whether it is a process module.
    pub(super) fn is_process(&self) -> bool {
        self.settings.process.is_some()
    }

    /// When it is restarted. The daemon does not depend on process modules, so it never gives them up.
    pub(super) fn restart_policy(&self, policy: &RestartPolicy) -> RestartPolicy {
        let max_restarts = if self.is_process() { usize::MAX } else { policy.max_restarts };
        RestartPolicy { max_restarts, ..*policy }
    }

    /// Asks the present incarnation to end.
    pub(super) fn end_incarnation(&mut self) {
        self.incarnation.cancel();
        self.ending_since.get_or_insert_with(Instant::now);
    }

    /// Whether it gives no sign of life, or does not end although it was asked to. Silence counts from `awake_since` on,
    /// when the supervisor itself was awake.
    pub(super) fn is_hanging(&self, hang_timeout: Duration, ping_interval: Duration, awake_since: Instant) -> bool {
        let awake = awake_since.elapsed();
        let answered = self.started + Duration::from_millis(self.answered.load(Ordering::Relaxed));
        let stop_limit = match &self.settings.process {
            Some(process) => hang_timeout.max(process.stop_timeout.saturating_add(STOP_MARGIN)),
            None => hang_timeout,
        };
        answered.elapsed().min(awake) > hang_timeout + ping_interval
            || self.activity.busy_for().min(awake) > hang_timeout
            || self.ending_since.is_some_and(|since| since.elapsed().min(awake) > stop_limit)
    }

    /// Whether it has answered a ping since [`SupervisedModule::count_sign_of_life`], and makes progress.
    pub(super) fn is_well(&self, hang_timeout: Duration) -> bool {
        self.answered.load(Ordering::Relaxed) != self.counted_answer && self.activity.busy_for() <= hang_timeout
    }

    /// Counts its latest answer as a sign of life.
    pub(super) fn count_sign_of_life(&mut self) {
        self.counted_answer = self.answered.load(Ordering::Relaxed);
    }

    /// What the new thread does first: make the module and the actor around it.
    pub(super) fn starter<S>(
        &self,
        parts: &SupervisorParts,
        recycle_after: Duration,
        supervisor: Addr<S>,
    ) -> impl FnOnce() + Send + 'static
    where
        S: actix::Handler<ModuleExited> + actix::Handler<ModuleStarted>,
        S::Context: actix::dev::ToEnvelope<S, ModuleExited> + actix::dev::ToEnvelope<S, ModuleStarted>,
    {
        let (name, generation, factory) = (self.spec.name.clone(), self.generation, self.spec.factory.clone());
        let (answered, statuses) = (self.answered.clone(), parts.statuses.clone());
        let waker = parts.wakers.of(&name);
        let surroundings = parts.surroundings.clone();
        let context =
            ModuleContext::new(name.clone(), surroundings, waker, self.incarnation.clone(), self.activity.clone());
        move || {
            panic_messages::supervise_this_thread();
            // The guard exists before the factory is called: a factory may panic as well.
            let exits = supervisor.clone().recipient();
            let guard = ExitGuard { module: name.clone(), generation, exit: Exit::Stopped, supervisor: exits };
            let woken = Arc::new(Notify::new());
            let rounds = Rounds { module: factory(), context, statuses, recycle_after, woken };
            let address = ModuleActor::new(rounds, answered, guard).start().recipient();
            let _ = supervisor.try_send(ModuleStarted { module: name, generation, address });
        }
    }
}
