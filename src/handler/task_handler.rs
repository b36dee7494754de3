//! The extension point for work: what a handler is.

use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{context::TaskContext, error::TaskError};
use crate::domain::task::definition::TaskDefinition;

/// Code that executes the tasks of one kind.
///
/// It runs on an actor's thread together with other attempts: what blocks belongs into
/// `tokio::task::spawn_blocking`. A panic is caught, and is the attempt's outcome.
pub trait TaskHandler: Send + Sync + 'static {
    /// The kind that this handler executes. It is stored in history: keep it.
    const KIND: &'static str;

    /// Whether an attempt keeps its time limit by itself, and is sure to end soon after it is told to. Nobody then
    /// gives up waiting for it.
    const ENDS_BY_ITSELF: bool = false;

    /// What the task's payload is decoded into. An absent payload is decoded from `null`; one that does not fit
    /// makes the task discarded, because it will not fit the next time either.
    type Payload: DeserializeOwned;

    /// Does the work of one attempt.
    ///
    /// Watch [`TaskContext::cancelled`] in anything that takes long: after the time limit, a cancel or a stop
    /// of the daemon the attempt has the definition's `kill_after` to end by itself, and is then dropped.
    ///
    /// # Errors
    /// Any error means that the work is not done; the definition says whether and when it is tried again.
    fn run(&self, payload: Self::Payload, context: &TaskContext) -> impl Future<Output = Result<(), TaskError>>;

    /// The definition that stands for this handler where the configuration has no `[task.KIND]`.
    fn definition() -> TaskDefinition
    where
        Self: Sized,
    {
        TaskDefinition::new(Self::KIND, Self::KIND)
    }
}

/// A handler whose types have been taken off, as the registry keeps it.
pub trait DynHandler: Send + Sync {
    /// Decodes the payload and does the work.
    fn call<'a>(
        &'a self,
        payload: Option<Value>,
        context: &'a TaskContext,
    ) -> LocalBoxFuture<'a, Result<(), TaskError>>;

    /// Whether nobody need give up waiting for it.
    fn ends_by_itself(&self) -> bool;
}

impl<H: TaskHandler> DynHandler for H {
    fn call<'a>(
        &'a self,
        payload: Option<Value>,
        context: &'a TaskContext,
    ) -> LocalBoxFuture<'a, Result<(), TaskError>> {
        Box::pin(async move {
            let payload = serde_json::from_value(payload.unwrap_or(Value::Null))
                .map_err(|error| TaskError::discard(format!("the payload does not fit: {error}")))?;
            self.run(payload, context).await
        })
    }

    fn ends_by_itself(&self) -> bool {
        H::ENDS_BY_ITSELF
    }
}
