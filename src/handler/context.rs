//! What a handler knows about its attempt.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::domain::{
    capture::{Capture, without_nul},
    definition::TaskDefinition,
    task::{ClaimedTask, Report},
};

/// How much of a handler's log is kept.
const LOG_LIMIT: usize = 64 * 1024;

/// Values that the application shares with its handlers, one of each type.
#[derive(Clone, Default)]
pub struct AppData {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

/// Why an attempt is stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Its time limit is reached.
    TimedOut,
    /// Somebody cancelled the task.
    Cancelled,
    /// The daemon stops, or has lost its lease.
    Interrupted,
}

/// One attempt as its handler sees it.
pub struct TaskContext {
    task: ClaimedTask,
    definition: Arc<TaskDefinition>,
    app_data: AppData,
    token: CancellationToken,
    stopped: OnceLock<(StopReason, Duration)>,
    report: Mutex<Report>,
    log: Mutex<Capture>,
}

impl AppData {
    /// Adds a value; it replaces an earlier one of the same type.
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
    pub fn new(task: ClaimedTask, definition: Arc<TaskDefinition>, app_data: AppData) -> Self {
        Self {
            task,
            definition,
            app_data,
            token: CancellationToken::new(),
            stopped: OnceLock::new(),
            report: Mutex::default(),
            log: Mutex::new(Capture::new(LOG_LIMIT)),
        }
    }

    /// The task's number.
    pub fn task_id(&self) -> i64 {
        self.task.id
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> i32 {
        self.task.attempt
    }

    /// The number of this claim, which rises with each one: hand it to systems that can refuse an older one.
    pub fn fence(&self) -> i64 {
        self.task.fence
    }

    /// The task as it was claimed.
    pub fn task(&self) -> &ClaimedTask {
        &self.task
    }

    /// What running it means.
    pub fn definition(&self) -> &TaskDefinition {
        &self.definition
    }

    /// A value that the application shares with its handlers.
    pub fn app_data<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.app_data.get()
    }

    /// Is cancelled when the attempt is to end: hand it to what you start.
    pub fn cancel_token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Ends when the attempt is to end.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Writes a line to the daemon's log, and to the output that is kept with the attempt.
    pub fn log(&self, line: impl AsRef<str>) {
        let line = line.as_ref();
        tracing::info!(task.id = self.task.id, task.name = %self.task.name, "{line}");
        let mut log = self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        log.write(line.as_bytes());
        log.write(b"\n");
    }

    /// Changes what history will say of this attempt.
    pub fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// Tells the attempt to end, and how long it may take over it. The first reason counts.
    pub fn stop(&self, reason: StopReason, grace: Duration) {
        let _ = self.stopped.set((reason, grace));
        self.token.cancel();
    }

    /// Why the attempt was told to end, if it was.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stopped.get().map(|(reason, _)| *reason)
    }

    /// How long a stopped attempt may take to end by itself.
    pub fn grace(&self) -> Duration {
        self.stopped.get().map_or(self.definition.kill_after, |(_, grace)| *grace)
    }

    /// What the attempt leaves behind, log included.
    pub fn take_report(&self) -> Report {
        let mut report = std::mem::take(&mut *self.report.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let log = std::mem::replace(
            &mut *self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
            Capture::new(LOG_LIMIT),
        );
        report.truncated |= log.is_truncated();
        report.stdout.push_str(&log.into_text());
        report.stdout = without_nul(report.stdout);
        report.stderr = without_nul(report.stderr);
        report
    }
}
