//! What the log says of attempts.

use sexton_entities::states::{Outcome, Verdict};
use tracing::Span;

use crate::{
    domain::{
        command::left_behind,
        task::{FinishedAttempt, definition::NOOP},
        text::duration,
    },
    handler::TaskContext,
};

/// The span in which an attempt runs, so that its lines in the log name its trace. An attempt without a trace has none.
pub(super) fn span_of(context: &TaskContext) -> Span {
    match context.trace().passed_on {
        // At this level, because also its errors are to name the trace.
        Some(trace) => tracing::error_span!("attempt", trace_id = trace.trace_id_text()),
        None => Span::none(),
    }
}

/// Logs one line for each attempt. While the lease is lost, another node may have the task, and nobody can tell.
pub(super) fn log_end(finished: &FinishedAttempt, is_lease_lost: bool) {
    let took = duration::short(finished.duration_ms);
    let (id, attempt) = (finished.claim.task_id, finished.attempt);
    let left = finished.report.left_behind.and_then(|count| u64::try_from(count).ok()).map(left_behind);
    let error = finished.error.iter().chain(&left).map(String::as_str).collect::<Vec<_>>().join("; ");
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
        (Outcome::Succeeded, _) if left.is_some() => tracing::warn!(
            task.id = id,
            attempt,
            "{} succeeded in {took}; {} (keep_background = true lets such processes live)",
            finished.name,
            left.unwrap_or_default()
        ),
        (Outcome::Succeeded, _) => tracing::info!(task.id = id, attempt, "{} succeeded in {took}", finished.name),
        (Outcome::Snoozed, _) => {
            let wait = duration::short(finished.retry_ms as i64);
            tracing::info!(
                task.id = id,
                attempt,
                "{} snoozed after {took}: {error}; next attempt in {wait}",
                finished.name
            );
        }
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
