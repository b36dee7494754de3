//! One attempt from its start to its end. Its end is in flight whatever happens to the worker that makes it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sexton_entities::states::{Outcome, Verdict};

use crate::{
    clock::Clock,
    daemon::{
        inflight::InFlight,
        state::{config_in_force::ConfigInForce, identity::NodeIdentity},
    },
    domain::{
        command::capture::without_nul,
        daemon::lease::OnLeaseLost,
        task::{
            ClaimedTask, FinishedAttempt, Report,
            definition::{NOOP, TaskDefinition},
            verdict::{self, Wish},
        },
        text::{duration, suggest},
    },
    handler::{AppData, Attempt, AttemptEnd, DynHandler, TaskContext},
};

/// Maximum delay before the next attempt, whatever a handler asks for: ten years.
const MAX_DELAY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Makes attempts: what a worker needs of the daemon.
pub(in crate::daemon) struct Executor {
    pub(in crate::daemon) node: NodeIdentity,
    pub(in crate::daemon) in_force: ConfigInForce,
    pub(in crate::daemon) in_flight: InFlight,
    pub(in crate::daemon) clock: Clock,
    pub(in crate::daemon) app_data: AppData,
}

impl Executor {
    /// Makes one attempt, and puts its end in flight for the recorder.
    pub(super) async fn execute(&self, task: ClaimedTask) {
        if self.in_flight.lease().holds_back() {
            // Other nodes may take it: it waits until the database says whose it is.
            return self.in_flight.requeue(task);
        }
        let mut guard = AttemptGuard::new(self, &task);
        let definition = self.in_force.definition(&task.name);
        let handler = definition.as_ref().and_then(|definition| self.in_force.registry().get(&definition.kind));
        let unknown = || Arc::new(TaskDefinition::new(&task.name, ""));
        let (end, report) = match (&definition, handler) {
            (Some(_), _) if task.unreadable.is_some() => (unreadable(&task), Report::default()),
            (Some(definition), Some(handler)) => {
                tracing::debug!(task.id = task.claim.task_id, task.attempt, "{} starts", task.name);
                let context = guard.begin(definition.clone(), false);
                let end = Attempt { handler: &*handler, context: &context }.call().await;
                (end, context.take_report())
            }
            _ => (self.undefined(&task), Report::default()),
        };
        let kind = definition.as_ref().map(|definition| definition.kind.clone());
        guard.end(kind, &definition.unwrap_or_else(unknown), end, report);
    }

    /// Follows an attempt that another daemon or worker began.
    pub(in crate::daemon) async fn adopt(
        &self,
        task: ClaimedTask,
        definition: TaskDefinition,
        handler: &dyn DynHandler,
    ) {
        let mut guard = AttemptGuard::new(self, &task);
        guard.started_at = task.started_at;
        let definition = Arc::new(definition);
        let context = guard.begin(definition.clone(), true);
        let end = Attempt { handler, context: &context }.call().await;
        let report = context.take_report();
        guard.end(Some(definition.kind.clone()), &definition, end, report);
    }

    /// A task whose name is not defined on this node: it would fail every time.
    fn undefined(&self, task: &ClaimedTask) -> AttemptEnd {
        let config = self.in_force.config();
        let hint = suggest::hint(&task.name, config.tasks.keys().map(String::as_str));
        let error = format!("no task `{}` is defined on node {}{hint}", task.name, self.node.name);
        AttemptEnd { outcome: Outcome::Failed, wish: Wish::Discard, error: Some(error) }
    }
}

/// A payload that the database accepts and Sexton cannot read: it would fail every time.
fn unreadable(task: &ClaimedTask) -> AttemptEnd {
    let why = task.unreadable.as_deref().unwrap_or_default();
    let error = format!("the payload cannot be read: {why}");
    AttemptEnd { outcome: Outcome::Failed, wish: Wish::Discard, error: Some(error) }
}

/// An attempt that is being made. If its worker is gone before its end, it is recorded as interrupted, or detached for
/// the adopter.
struct AttemptGuard<'a> {
    executor: &'a Executor,
    task: Option<ClaimedTask>,
    context: Option<Arc<TaskContext>>,
    started_at: chrono::DateTime<chrono::Utc>,
    since: Instant,
}

impl<'a> AttemptGuard<'a> {
    fn new(executor: &'a Executor, task: &ClaimedTask) -> Self {
        let started_at = executor.clock.now();
        Self { executor, task: Some(task.clone()), context: None, started_at, since: Instant::now() }
    }

    /// The attempt runs from now on.
    fn begin(&mut self, definition: Arc<TaskDefinition>, is_adopted: bool) -> Arc<TaskContext> {
        let Some(task) = self.task.clone() else { unreachable!("an attempt begins once") };
        let claim = task.claim;
        let context = Arc::new(TaskContext::new(task, definition, self.executor.app_data.clone()));
        if self.executor.in_force.on_lease_lost(context.task()) == OnLeaseLost::Stop
            && let Some(grant) = self.executor.in_flight.lease().grant()
        {
            context.end_with_lease(grant);
        }
        self.executor.in_flight.begin(claim, context.clone(), is_adopted);
        self.context = Some(context.clone());
        context
    }

    /// The attempt has ended.
    fn end(mut self, kind: Option<String>, definition: &TaskDefinition, end: AttemptEnd, report: Report) {
        let Some(task) = self.task.take() else { return };
        let took = report.took.unwrap_or_else(|| self.since.elapsed());
        let max_attempts = task.max_attempts.unwrap_or(definition.max_attempts);
        let judgement =
            verdict::judge(end.outcome, end.wish, task.attempt, max_attempts, &definition.retry, fastrand::f64());
        let finished_at = match report.took {
            Some(took) => self.started_at + chrono::TimeDelta::from_std(took).unwrap_or_default(),
            None => self.executor.clock.now(),
        };
        let finished = FinishedAttempt {
            claim: task.claim,
            name: task.name,
            kind,
            queue: task.queue,
            schedule: task.schedule,
            due_at: task.due_at,
            enqueued_at: task.enqueued_at,
            started_at: self.started_at,
            finished_at,
            duration_ms: took.as_millis() as i64,
            node: self.executor.node.id.clone(),
            attempt: task.attempt,
            outcome: end.outcome,
            verdict: judgement.verdict,
            retry_ms: judgement.delay.min(MAX_DELAY).as_millis() as u64,
            error: end.error.map(without_nul),
            payload: task.payload,
            report,
        };
        log_end(&finished, self.executor.in_flight.lease().is_lost());
        self.executor.in_flight.end(finished, took);
    }
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        if self.context.as_ref().is_some_and(|context| context.outlives_worker()) {
            self.executor.in_flight.detach(task.claim);
            return;
        }
        let kind = self.context.as_ref().map(|context| context.definition().kind.clone());
        let took = self.since.elapsed();
        let now = self.executor.clock.now();
        let interrupted = task.interrupted(&self.executor.node.id, kind, "the worker was lost", now, took);
        self.executor.in_flight.end(interrupted, took);
    }
}

/// Logs one line for each attempt. While the lease is lost, another node may have the task, and nobody can tell.
fn log_end(finished: &FinishedAttempt, is_lease_lost: bool) {
    let took = duration::short(finished.duration_ms);
    let (id, attempt) = (finished.claim.task_id, finished.attempt);
    let error = finished.error.as_deref().unwrap_or_default();
    match (finished.outcome, finished.verdict) {
        // Tasks that do nothing are used for measuring, in large numbers.
        (Outcome::Succeeded, _) if finished.kind.as_deref() == Some(NOOP) => {
            tracing::debug!(task.id = id, "{} succeeded", finished.name);
        }
        (Outcome::Succeeded, _) if is_lease_lost => tracing::warn!(
            task.id = id,
            attempt,
            "{} ended well in {took}; it counts if no other node was given the task meanwhile",
            finished.name
        ),
        (Outcome::Succeeded, _) => tracing::info!(task.id = id, attempt, "{} succeeded in {took}", finished.name),
        (outcome, Some(Verdict::Retry)) => {
            let wait = duration::short(finished.retry_ms as i64);
            tracing::warn!(
                task.id = id,
                attempt,
                "{} {outcome} after {took}: {error}; next attempt in {wait}",
                finished.name
            );
        }
        (Outcome::Cancelled | Outcome::Interrupted | Outcome::Superseded, _) => {
            tracing::warn!(task.id = id, attempt, "{} {} after {took}: {error}", finished.name, finished.outcome);
        }
        (outcome, _) => {
            tracing::error!(task.id = id, attempt, "{} {outcome} after {took}: {error}; discarded", finished.name);
        }
    }
}
