//! One attempt, from the handler's call to its outcome.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use sexton_entities::states::Outcome;

use super::{
    context::{StopReason, TaskContext},
    error::TaskError,
    task_handler::DynHandler,
};
use crate::domain::task::lifecycle::Wish;

/// A stopped handler gets its grace, and this much more to tell what became of it.
const FINAL_GRACE: Duration = Duration::from_secs(1);

/// An attempt that is about to be made.
pub struct Attempt<'a> {
    /// What executes it.
    pub handler: &'a dyn DynHandler,
    /// What the handler knows.
    pub context: &'a TaskContext,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// What happened.
    pub outcome: Outcome,
    /// What the handler wishes to follow.
    pub wish: Wish,
    /// Why it did not succeed.
    pub error: Option<String>,
}

/// What came out of the handler itself: its answer, or a panic.
type HandlerResult = Result<Result<(), TaskError>, Box<dyn Any + Send>>;

impl Attempt<'_> {
    /// Executes the handler within its limits. This is the one place where a handler's panic is caught.
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
            None => tokio::time::timeout(self.context.grace() + FINAL_GRACE, &mut work).await.ok(),
        };
        self.judge(answer)
    }

    /// Ends with the time limit, having told the handler.
    async fn deadline(&self) {
        match self.context.definition().timeout {
            Some(limit) => {
                tokio::time::sleep(limit).await;
                self.context.stop(StopReason::TimedOut, self.context.definition().kill_after);
            }
            None => std::future::pending().await,
        }
    }

    /// What the answer means. Work that was finished in spite of a stop is finished.
    fn judge(&self, answer: Option<HandlerResult>) -> AttemptEnd {
        let stopped = self.context.stop_reason();
        match answer {
            Some(Ok(Ok(()))) => AttemptEnd { outcome: Outcome::Succeeded, wish: Wish::Policy, error: None },
            Some(Err(panic)) => AttemptEnd {
                outcome: Outcome::Crashed,
                wish: Wish::Policy,
                error: Some(format!("panic: {}", panic_text(&*panic))),
            },
            Some(Ok(Err(error))) => {
                let outcome = match stopped {
                    Some(reason) => outcome_of(reason),
                    None if error.is_crash() => Outcome::Crashed,
                    None => Outcome::Failed,
                };
                AttemptEnd { outcome, wish: error.wish(), error: Some(error.to_string()) }
            }
            None => {
                let reason = stopped.unwrap_or(StopReason::Interrupted);
                let error = format!("{}, and it did not end when told to", stop_text(reason, self.context));
                AttemptEnd { outcome: outcome_of(reason), wish: Wish::Policy, error: Some(error) }
            }
        }
    }
}

fn outcome_of(reason: StopReason) -> Outcome {
    match reason {
        StopReason::TimedOut => Outcome::TimedOut,
        StopReason::Cancelled => Outcome::Cancelled,
        StopReason::PeriodOver | StopReason::Interrupted => Outcome::Interrupted,
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
        StopReason::Interrupted => "the daemon was stopping".to_owned(),
    }
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_owned(),
    }
}
