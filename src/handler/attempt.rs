//! One attempt, from the call of the handler to its outcome: the time limit, a stop, a panic.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use sexton_entities::states::Outcome;

use super::{
    context::{StopReason, TaskContext},
    error::TaskError,
    task_handler::DynHandler,
};
use crate::{domain::task::verdict::Wish, telemetry::panic_messages};

/// How much longer than its grace time a stopped handler may take to return its result.
const FINAL_GRACE: Duration = Duration::from_secs(1);

/// An attempt that is about to begin.
pub struct Attempt<'a> {
    /// The handler that executes it.
    pub handler: &'a dyn DynHandler,
    /// What the handler can ask and report.
    pub context: &'a TaskContext,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// What happened.
    pub outcome: Outcome,
    /// What the handler wants to happen next.
    pub wish: Wish,
    /// Why it did not succeed.
    pub error: Option<String>,
}

/// What the handler itself returned: a result, or a panic.
type HandlerResult = Result<Result<(), TaskError>, Box<dyn Any + Send>>;

impl Attempt<'_> {
    /// Executes the handler within its limits. Only this function catches a handler's panic.
    pub async fn call(&self) -> AttemptEnd {
        let payload = self.context.task().payload.clone();
        let mut work = Box::pin(AssertUnwindSafe(self.handler.call(payload, self.context)).catch_unwind());
        if self.handler.ends_by_itself() {
            return self.judge(Some(work.await));
        }
        let answer = tokio::select! {
            biased;
            answer = &mut work => Some(answer),
            () = self.deadline() => None,
            () = self.context.cancelled() => None,
        };
        let answer = match answer {
            Some(answer) => Some(answer),
            None => tokio::time::timeout(self.patience(), &mut work).await.ok(),
        };
        self.judge(answer)
    }

    /// How long a stopped handler may take. The end of a lease does not wait.
    fn patience(&self) -> Duration {
        match self.context.stop_reason() {
            Some(StopReason::LeaseLost) => self.context.grace(),
            _ => self.context.grace() + FINAL_GRACE,
        }
    }

    /// Returns at the time limit, after it has stopped the attempt.
    async fn deadline(&self) {
        match self.context.definition().timeout {
            Some(limit) => {
                tokio::time::sleep(limit).await;
                self.context.stop(StopReason::TimedOut, self.context.definition().kill_after);
            }
            None => std::future::pending().await,
        }
    }

    /// The meaning of the handler's answer. Work that was completed in spite of a stop is completed, unless another node
    /// has the task.
    fn judge(&self, answer: Option<HandlerResult>) -> AttemptEnd {
        let stopped = self.context.stop_reason();
        match answer {
            Some(Ok(Ok(()))) if stopped == Some(StopReason::Superseded) => AttemptEnd {
                outcome: Outcome::Superseded,
                wish: Wish::Policy,
                error: Some(stop_text(StopReason::Superseded, self.context)),
            },
            Some(Ok(Ok(()))) => AttemptEnd { outcome: Outcome::Succeeded, wish: Wish::Policy, error: None },
            Some(Err(panic)) => AttemptEnd {
                outcome: Outcome::Crashed,
                wish: Wish::Policy,
                error: Some(format!("panic: {}", panic_messages::take_last().unwrap_or_else(|| panic_text(&*panic)))),
            },
            Some(Ok(Err(error))) => {
                let outcome = match stopped {
                    Some(reason) => outcome_of(reason),
                    None if error.is_crash() => Outcome::Crashed,
                    None if error.wish() == Wish::GiveBack => Outcome::Interrupted,
                    None if matches!(error.wish(), Wish::RetryAfter(_)) => Outcome::Snoozed,
                    None => Outcome::Failed,
                };
                AttemptEnd { outcome, wish: error.wish(), error: Some(error.to_string()) }
            }
            None => {
                let reason = stopped.unwrap_or(StopReason::Interrupted);
                let error =
                    format!("{}, and the handler did not end within its grace time", stop_text(reason, self.context));
                AttemptEnd { outcome: outcome_of(reason), wish: Wish::Policy, error: Some(error) }
            }
        }
    }
}

fn outcome_of(reason: StopReason) -> Outcome {
    match reason {
        StopReason::TimedOut => Outcome::TimedOut,
        StopReason::Cancelled => Outcome::Cancelled,
        StopReason::Superseded => Outcome::Superseded,
        StopReason::PeriodOver | StopReason::LeaseLost | StopReason::Interrupted => Outcome::Interrupted,
    }
}

/// A stop in words.
pub(super) fn stop_text(reason: StopReason, context: &TaskContext) -> String {
    match reason {
        StopReason::TimedOut => {
            let limit = context.definition().timeout.unwrap_or_default();
            format!("the time limit of {} was reached", crate::domain::text::duration::text(limit))
        }
        StopReason::Cancelled => "it was cancelled".to_owned(),
        StopReason::PeriodOver => "the period of its queue was over".to_owned(),
        StopReason::LeaseLost => "the lease could not be kept".to_owned(),
        StopReason::Superseded => "another node has the task".to_owned(),
        StopReason::Interrupted => "the daemon was stopping".to_owned(),
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_owned(),
    }
}
