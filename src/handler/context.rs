//! The context of an attempt: what its handler can ask and report.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sexton_entities::json_text::JsonText;
use tokio_util::sync::CancellationToken;

use crate::domain::{
    command::{
        answer::Progress,
        capture::{Capture, CaptureLimits, without_nul},
    },
    daemon::lease::Grant,
    identity::DatabaseId,
    task::{ClaimedTask, Report, definition::TaskDefinition, trace::AttemptTrace},
    text::json::json_without_nul,
};

/// How much of a handler's log is kept.
const LOG_LIMITS: CaptureLimits = CaptureLimits { head: 32 * 1024, tail: 32 * 1024 };

/// Values that the application shares with its handlers, one of each type.
#[derive(Clone, Default)]
pub struct AppData {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// Why an attempt is stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It has reached its time limit.
    TimedOut,
    /// The task was cancelled.
    Cancelled,
    /// The period of its queue is over.
    PeriodOver,
    /// The node cannot keep its lease, and the task must never run twice at once.
    LeaseLost,
    /// The task was given to another node. Whatever the attempt achieves does not count.
    Superseded,
    /// The daemon is stopping.
    Interrupted,
}

/// One attempt as its handler sees it.
pub struct TaskContext {
    task: ClaimedTask,
    trace: AttemptTrace,
    definition: Arc<TaskDefinition>,
    app_data: AppData,
    token: CancellationToken,
    stopped: OnceLock<(StopReason, Duration)>,
    report: Mutex<Report>,
    log: Mutex<Capture>,
    started: Instant,
    /// The latest progress, until it is stored.
    progress: Mutex<Option<Progress>>,
    last_progress: Mutex<Option<Progress>>,
    outlives_worker: AtomicBool,
    lease: OnceLock<Grant>,
}

impl AppData {
    /// Adds a value. It replaces an earlier value of the same type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of that type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl TaskContext {
    /// The context of one attempt.
    #[doc(hidden)]
    pub fn new(task: ClaimedTask, definition: Arc<TaskDefinition>, app_data: AppData) -> Self {
        Self {
            trace: AttemptTrace::of(&task),
            task,
            definition,
            app_data,
            token: CancellationToken::new(),
            stopped: OnceLock::new(),
            report: Mutex::default(),
            log: Mutex::new(Capture::new(LOG_LIMITS)),
            started: Instant::now(),
            progress: Mutex::default(),
            last_progress: Mutex::default(),
            outlives_worker: AtomicBool::new(false),
            lease: OnceLock::new(),
        }
    }

    /// The number of the task.
    pub fn task_id(&self) -> i64 {
        self.task.claim.task_id
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> i32 {
        self.task.attempt
    }

    /// The fence, which rises with each claim of the task. Pass it to systems that can refuse an older one.
    pub fn fence(&self) -> i64 {
        self.task.claim.fence
    }

    /// The name of the task.
    pub fn name(&self) -> &str {
        &self.task.name
    }

    /// The schedule that created the task, and the instant for which it did.
    pub fn schedule(&self) -> Option<(&str, DateTime<Utc>)> {
        self.task.schedule.as_deref().zip(self.task.due_at)
    }

    /// The trace to which the attempt belongs, for what it calls: a `traceparent` of the W3C's trace context.
    pub fn traceparent(&self) -> Option<String> {
        self.trace.passed_on.map(String::from)
    }

    /// The `tracestate` that belongs to the `traceparent`.
    pub fn tracestate(&self) -> Option<&str> {
        self.trace.state.as_deref()
    }

    /// How the tasks ended for which this one waited: a list of objects with `id`, `task`, `group`, `outcome` and `result`.
    pub fn predecessors(&self) -> Option<&JsonText> {
        self.task.predecessors.as_ref()
    }

    /// Gives the attempt a span of its own, which its command continues.
    pub(crate) fn open_span(&mut self) {
        let database = self.app_data.get::<DatabaseId>();
        self.trace = std::mem::take(&mut self.trace).with_own_span(&self.task, database);
    }

    /// The trace of the attempt.
    pub(crate) fn trace(&self) -> &AttemptTrace {
        &self.trace
    }

    /// The task as it was claimed.
    #[doc(hidden)]
    pub fn task(&self) -> &ClaimedTask {
        &self.task
    }

    /// The definition of the task.
    pub fn definition(&self) -> &TaskDefinition {
        &self.definition
    }

    /// A value that the application shares with its handlers.
    pub fn app_data<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.app_data.get()
    }

    /// A token that is cancelled when the attempt is stopped. Pass it to what you start.
    pub fn cancel_token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Waits until the attempt is stopped.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Writes a line to the daemon's log, and to the output that is kept with the attempt.
    pub fn log(&self, line: impl AsRef<str>) {
        let line = line.as_ref();
        tracing::info!(task.id = self.task.claim.task_id, task.name = %self.task.name, "{line}");
        let mut log = self.log.lock();
        let at = self.started.elapsed().as_millis() as u64;
        log.write(format!("{line}\n").as_bytes(), at);
    }

    /// Reports progress, for `sexton task show` and the column `progress` while the task runs.
    pub fn progress(&self, progress: Progress) {
        let progress = Progress { text: progress.text.map(without_nul), ..progress };
        let mut last = self.last_progress.lock();
        if last.as_ref() != Some(&progress) {
            *self.progress.lock() = Some(progress.clone());
            *last = Some(progress);
        }
    }

    /// The progress since the last call, if there is any.
    #[doc(hidden)]
    pub fn take_progress(&self) -> Option<Progress> {
        self.progress.lock().take()
    }

    /// Sets the result that the history keeps.
    pub fn result(&self, result: impl Into<serde_json::Value>) {
        let result = json_without_nul(result.into().into());
        self.report(|report| report.result = Some(result));
    }

    /// Sets the payload of the next attempt, if there is one.
    pub fn next_payload(&self, payload: impl Into<serde_json::Value>) {
        let payload = json_without_nul(payload.into().into());
        self.report(|report| report.next_payload = Some(payload));
    }

    /// Notes that the attempt runs on without its worker, and can be adopted.
    pub(crate) fn outlive_worker(&self) {
        self.outlives_worker.store(true, Ordering::Release);
    }

    /// The attempt must end before the lease of its node does.
    pub(crate) fn end_with_lease(&self, lease: Grant) {
        let _ = self.lease.set(lease);
    }

    /// The lease before whose end the attempt must end, if it must.
    pub(crate) fn lease(&self) -> Option<Grant> {
        self.lease.get().copied()
    }

    /// Whether the attempt runs on without its worker.
    pub(crate) fn outlives_worker(&self) -> bool {
        self.outlives_worker.load(Ordering::Acquire)
    }

    /// Changes the report on this attempt.
    #[doc(hidden)]
    pub fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock());
    }

    /// Stops the attempt with that grace time. The first reason counts.
    #[doc(hidden)]
    pub fn stop(&self, reason: StopReason, grace: Duration) {
        let _ = self.stopped.set((reason, grace));
        self.token.cancel();
    }

    /// Why the attempt was stopped, if it was.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stopped.get().map(|(reason, _)| *reason)
    }

    /// How long a stopped attempt may take to end by itself.
    pub fn grace(&self) -> Duration {
        self.stopped.get().map_or(self.definition.kill_after, |(_, grace)| *grace)
    }

    /// Takes the report with the log, at the end of the attempt.
    #[doc(hidden)]
    pub fn take_report(&self) -> Report {
        let mut report = std::mem::take(&mut *self.report.lock());
        let log = std::mem::replace(&mut *self.log.lock(), Capture::new(LOG_LIMITS));
        report.stdout.join(log.into_kept());
        if let Some(ignored) = &self.trace.ignored {
            report.stderr.add_line(&format!("sexton: {ignored}"));
        }
        for kept in [&mut report.stdout, &mut report.stderr] {
            kept.text = without_nul(std::mem::take(&mut kept.text));
        }
        report
    }
}
