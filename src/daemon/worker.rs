//! A worker: a seat in which one task at a time is executed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext as _, Context, Handler, WrapFuture as _};
use sexton_entities::states::{Outcome, Verdict};

use super::{batch::interrupted, messages::Assign, shared::Shared};
use crate::{
    domain::{
        capture::without_nul,
        definition::{NOOP, TaskDefinition},
        lifecycle::{self, Wish},
        span,
        task::{ClaimedTask, FinishedAttempt, Report},
    },
    handler::{Attempt, DynHandler, Ended, TaskContext},
    store::DroppedAnchored,
};

/// No next attempt is later than this, whatever a handler wishes: ten years.
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// One seat of a pool.
pub(super) struct Worker {
    shared: Arc<Shared>,
    queue: Arc<str>,
    busy: Arc<AtomicBool>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, queue: Arc<str>, busy: Arc<AtomicBool>) -> Self {
        Self { shared, queue, busy }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.set_mailbox_capacity(1);
    }
}

impl Handler<Assign> for Worker {
    type Result = ();

    fn handle(&mut self, Assign(first): Assign, context: &mut Context<Self>) {
        let (shared, queue, busy) = (self.shared.clone(), self.queue.clone(), self.busy.clone());
        let work = async move {
            let mut task = Some(first);
            while let Some(this) = task {
                execute(&shared, this).await;
                // Short tasks must not keep the other workers of this thread waiting.
                tokio::task::yield_now().await;
                task = shared.hand.next(&queue);
            }
            busy.store(false, Ordering::Release);
            shared.bells.ring("workers");
        };
        context.spawn(DroppedAnchored::new(work).into_actor(self));
    }
}

/// Makes one attempt, and puts its end into the hand.
async fn execute(shared: &Shared, task: ClaimedTask) {
    let mut guard = Unfinished { shared, task: Some((task.clone(), None)), since: Instant::now() };
    let started_at = shared.clock.now();
    let definition = shared.definition(&task.name);
    let handler = definition.as_ref().and_then(|definition| shared.registry.get(&definition.kind));
    let (ended, kind, report) = match (&definition, handler) {
        _ if shared.lease.is_over() => {
            (Ended { error: Some("the lease was over".to_owned()), ..INTERRUPTED }, None, Report::default())
        }
        (Some(definition), _) if task.unreadable.is_some() => {
            (unreadable(&task), Some(definition.kind.clone()), Report::default())
        }
        (Some(definition), Some(handler)) => {
            guard.task = Some((task.clone(), Some(definition.kind.clone())));
            let (ended, report) = attempt(shared, &task, definition, handler).await;
            (ended, Some(definition.kind.clone()), report)
        }
        _ => (undefined(shared, &task), None, Report::default()),
    };
    let took = guard.since.elapsed();
    guard.task = None;
    let unknown = TaskDefinition::new(&task.name, "");
    let finished =
        finish(shared, task, definition.as_deref().unwrap_or(&unknown), kind, started_at, took, ended, report);
    tell(&finished);
    shared.hand.end(finished, took);
}

async fn attempt(
    shared: &Shared,
    task: &ClaimedTask,
    definition: &Arc<TaskDefinition>,
    handler: Arc<dyn DynHandler>,
) -> (Ended, Report) {
    tracing::debug!(task.id = task.id, task.attempt, "{} starts", task.name);
    let context = Arc::new(TaskContext::new(task.clone(), definition.clone(), shared.app_data.clone()));
    shared.hand.begin((task.id, task.fence), context.clone());
    let ended = Attempt { handler: &*handler, context: &context }.call().await;
    (ended, context.take_report())
}

/// An attempt that was not made.
const INTERRUPTED: Ended = Ended { outcome: Outcome::Interrupted, wish: Wish::Policy, error: None };

/// A payload that the database takes and nobody else does: it would fail for ever.
fn unreadable(task: &ClaimedTask) -> Ended {
    let why = task.unreadable.as_deref().unwrap_or_default();
    Ended { outcome: Outcome::Failed, wish: Wish::Discard, error: Some(format!("the payload cannot be read: {why}")) }
}

/// A task of a name that nobody knows: it would fail for ever.
fn undefined(shared: &Shared, task: &ClaimedTask) -> Ended {
    let config = shared.config();
    let near = config
        .tasks
        .keys()
        .map(|known| (strsim::jaro_winkler(known, &task.name), known))
        .filter(|(like, _)| *like > 0.8);
    let hint = match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => String::new(),
    };
    let error = format!("no task `{}` is defined on node {}{hint}", task.name, shared.name);
    Ended { outcome: Outcome::Failed, wish: Wish::Discard, error: Some(error) }
}

#[expect(clippy::too_many_arguments, reason = "everything that a history row says comes together here, and only here")]
fn finish(
    shared: &Shared,
    task: ClaimedTask,
    definition: &TaskDefinition,
    kind: Option<String>,
    started_at: chrono::DateTime<chrono::Utc>,
    took: Duration,
    ended: Ended,
    report: Report,
) -> FinishedAttempt {
    let max_attempts = task.max_attempts.unwrap_or(definition.max_attempts);
    let judgement =
        lifecycle::judge(ended.outcome, ended.wish, task.attempt, max_attempts, &definition.retry, fastrand::f64());
    FinishedAttempt {
        task_id: task.id,
        fence: task.fence,
        name: task.name,
        kind,
        queue: task.queue,
        schedule: task.schedule,
        due_at: task.due_at,
        enqueued_at: task.enqueued_at,
        started_at,
        finished_at: shared.clock.now(),
        duration_ms: took.as_millis() as i64,
        node: shared.node.clone(),
        attempt: task.attempt,
        outcome: ended.outcome,
        verdict: judgement.verdict,
        retry_ms: judgement.delay.min(LONGEST_DELAY).as_millis() as u64,
        error: ended.error.map(without_nul),
        payload: task.payload,
        report,
    }
}

/// One line for each attempt.
fn tell(finished: &FinishedAttempt) {
    let took = span::short(finished.duration_ms);
    let (id, attempt) = (finished.task_id, finished.attempt);
    let error = finished.error.as_deref().unwrap_or_default();
    match (finished.outcome, finished.verdict) {
        // Tasks that do nothing are made to be many.
        (Outcome::Succeeded, _) if finished.kind.as_deref() == Some(NOOP) => {
            tracing::debug!(task.id = id, "{} succeeded", finished.name);
        }
        (Outcome::Succeeded, _) => tracing::info!(task.id = id, attempt, "{} succeeded in {took}", finished.name),
        (outcome, Some(Verdict::Retry)) => {
            let wait = span::short(finished.retry_ms as i64);
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

/// Puts the attempt on record as interrupted if the worker is gone before its end.
struct Unfinished<'a> {
    shared: &'a Shared,
    task: Option<(ClaimedTask, Option<String>)>,
    since: Instant,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some((task, kind)) = self.task.take() {
            let took = self.since.elapsed();
            let why = "the worker was lost";
            self.shared.hand.end(interrupted(&self.shared.node, &task, kind, why, self.shared.clock.now(), took), took);
        }
    }
}
