//! One attempt from its begin to its end, on record in the hand whatever happens to whoever makes it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sexton_entities::states::{Outcome, Verdict};

use crate::{
    daemon::{inflight::batch::interrupted, state::shared::Shared},
    domain::{
        command::capture::without_nul,
        task::{
            ClaimedTask, FinishedAttempt, Report,
            definition::{NOOP, TaskDefinition},
            lifecycle::{self, Wish},
        },
        text::{duration, suggest},
    },
    handler::{Attempt, AttemptEnd, DynHandler, TaskContext},
};

/// No next attempt is later than this, whatever a handler wishes: ten years.
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Makes one attempt, and puts its end into the hand.
pub(in crate::daemon) async fn execute(shared: &Shared, task: ClaimedTask) {
    let mut guard = AttemptGuard::new(shared, &task);
    let definition = shared.definition(&task.name);
    let handler = definition.as_ref().and_then(|definition| shared.registry.get(&definition.kind));
    let unknown = || Arc::new(TaskDefinition::new(&task.name, ""));
    let (ended, report) = match (&definition, handler) {
        _ if shared.lease.is_over() => {
            (AttemptEnd { error: Some("the lease was over".to_owned()), ..INTERRUPTED }, Report::default())
        }
        (Some(_), _) if task.unreadable.is_some() => (unreadable(&task), Report::default()),
        (Some(definition), Some(handler)) => {
            tracing::debug!(task.id = task.id, task.attempt, "{} starts", task.name);
            let context = guard.begin(definition.clone(), false);
            let ended = Attempt { handler: &*handler, context: &context }.call().await;
            (ended, context.take_report())
        }
        _ => (undefined(shared, &task), Report::default()),
    };
    let kind = definition.as_ref().map(|definition| definition.kind.clone());
    guard.end(kind, &definition.unwrap_or_else(unknown), ended, report);
}

/// Goes on with an attempt that somebody else has begun.
pub(in crate::daemon) async fn adopt(
    shared: &Shared,
    task: ClaimedTask,
    definition: TaskDefinition,
    handler: &dyn DynHandler,
) {
    let mut guard = AttemptGuard::new(shared, &task);
    guard.started_at = task.started_at;
    let definition = Arc::new(definition);
    let context = guard.begin(definition.clone(), true);
    let ended = Attempt { handler, context: &context }.call().await;
    let report = context.take_report();
    guard.end(Some(definition.kind.clone()), &definition, ended, report);
}

/// An attempt that was not made.
const INTERRUPTED: AttemptEnd = AttemptEnd { outcome: Outcome::Interrupted, wish: Wish::Policy, error: None };

/// A payload that the database takes and nobody else does: it would fail for ever.
fn unreadable(task: &ClaimedTask) -> AttemptEnd {
    let why = task.unreadable.as_deref().unwrap_or_default();
    AttemptEnd {
        outcome: Outcome::Failed,
        wish: Wish::Discard,
        error: Some(format!("the payload cannot be read: {why}")),
    }
}

/// A task of a name that nobody knows: it would fail for ever.
fn undefined(shared: &Shared, task: &ClaimedTask) -> AttemptEnd {
    let config = shared.config();
    let hint = suggest::hint(&task.name, config.tasks.keys().map(String::as_str));
    let error = format!("no task `{}` is defined on node {}{hint}", task.name, shared.name);
    AttemptEnd { outcome: Outcome::Failed, wish: Wish::Discard, error: Some(error) }
}

/// An attempt that is being made. If whoever makes it is gone before its end, it is put on record as interrupted, or
/// left for somebody to take up again.
struct AttemptGuard<'a> {
    shared: &'a Shared,
    task: Option<ClaimedTask>,
    context: Option<Arc<TaskContext>>,
    started_at: chrono::DateTime<chrono::Utc>,
    since: Instant,
}

impl<'a> AttemptGuard<'a> {
    fn new(shared: &'a Shared, task: &ClaimedTask) -> Self {
        Self { shared, task: Some(task.clone()), context: None, started_at: shared.clock.now(), since: Instant::now() }
    }

    /// It runs from now on.
    fn begin(&mut self, definition: Arc<TaskDefinition>, is_adopted: bool) -> Arc<TaskContext> {
        let Some(task) = self.task.clone() else { unreachable!("an attempt begins once") };
        let claim = (task.id, task.fence);
        let context = Arc::new(TaskContext::new(task, definition, self.shared.app_data.clone()));
        self.shared.hand.begin(claim, context.clone(), is_adopted);
        self.context = Some(context.clone());
        context
    }

    /// It has ended.
    fn end(mut self, kind: Option<String>, definition: &TaskDefinition, ended: AttemptEnd, report: Report) {
        let Some(task) = self.task.take() else { return };
        let took = report.took.unwrap_or_else(|| self.since.elapsed());
        let max_attempts = task.max_attempts.unwrap_or(definition.max_attempts);
        let judgement =
            lifecycle::judge(ended.outcome, ended.wish, task.attempt, max_attempts, &definition.retry, fastrand::f64());
        let finished_at = match report.took {
            Some(took) => self.started_at + chrono::TimeDelta::from_std(took).unwrap_or_default(),
            None => self.shared.clock.now(),
        };
        let finished = FinishedAttempt {
            task_id: task.id,
            fence: task.fence,
            name: task.name,
            kind,
            queue: task.queue,
            schedule: task.schedule,
            due_at: task.due_at,
            enqueued_at: task.enqueued_at,
            started_at: self.started_at,
            finished_at,
            duration_ms: took.as_millis() as i64,
            node: self.shared.node.clone(),
            attempt: task.attempt,
            outcome: ended.outcome,
            verdict: judgement.verdict,
            retry_ms: judgement.delay.min(LONGEST_DELAY).as_millis() as u64,
            error: ended.error.map(without_nul),
            payload: task.payload,
            report,
        };
        tell(&finished);
        self.shared.hand.end(finished, took);
    }
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        if self.context.as_ref().is_some_and(|context| context.outlives_worker()) {
            self.shared.hand.leave((task.id, task.fence));
            return;
        }
        let kind = self.context.as_ref().map(|context| context.definition().kind.clone());
        let took = self.since.elapsed();
        let now = self.shared.clock.now();
        self.shared.hand.end(interrupted(&self.shared.node, &task, kind, "the worker was lost", now, took), took);
    }
}

/// One line for each attempt.
fn tell(finished: &FinishedAttempt) {
    let took = duration::short(finished.duration_ms);
    let (id, attempt) = (finished.task_id, finished.attempt);
    let error = finished.error.as_deref().unwrap_or_default();
    match (finished.outcome, finished.verdict) {
        // Tasks that do nothing are made to be many.
        (Outcome::Succeeded, _) if finished.kind.as_deref() == Some(NOOP) => {
            tracing::debug!(task.id = id, "{} succeeded", finished.name);
        }
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
        (Outcome::Cancelled | Outcome::Interrupted, _) => {
            tracing::warn!(task.id = id, attempt, "{} {} after {took}: {error}", finished.name, finished.outcome);
        }
        (outcome, _) => {
            tracing::error!(task.id = id, attempt, "{} {outcome} after {took}: {error}; given up", finished.name);
        }
    }
}
