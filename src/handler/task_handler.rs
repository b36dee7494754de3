//! The extension point for work: the trait of a handler.

use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use sexton_client::decode_payload;
use sexton_entities::json_text::JsonText;

use super::{context::TaskContext, error::TaskError};
use crate::domain::task::definition::TaskDefinition;

/// Code that executes the tasks of one kind.
///
/// It runs on a thread of the pool together with other attempts: use `tokio::task::spawn_blocking` for work that
/// blocks. A panic is caught and becomes the outcome `crashed`.
pub trait TaskHandler: Send + Sync + 'static {
    /// The kind that this handler executes. The history stores it, so it should not change.
    const KIND: &'static str;

    /// Whether an attempt enforces its time limit itself, and ends soon after it is stopped. The worker then waits for
    /// its end without a limit.
    const ENDS_BY_ITSELF: bool = false;

    /// The type of the payload. An absent payload is decoded from `null`. `JsonText` takes the text as it came. If a payload
    /// does not fit, the task is discarded, because it would not fit the next time either; the error names the field.
    type Payload: DeserializeOwned;

    /// Does the work of one attempt.
    ///
    /// Long work should watch [`TaskContext::cancelled`]: at the time limit, at a cancel or at a stop of the daemon,
    /// the attempt has the `kill_after` of its definition to end by itself, and is then dropped.
    ///
    /// # Errors
    /// Any error means that the work is not done. The definition says whether and when it is tried again.
    fn run(&self, payload: Self::Payload, context: &TaskContext) -> impl Future<Output = Result<(), TaskError>>;

    /// The definition of this handler's tasks, unless the configuration has a table `[task.KIND]`.
    fn definition() -> TaskDefinition
    where
        Self: Sized,
    {
        TaskDefinition::new(Self::KIND, Self::KIND)
    }
}

/// A handler without its types, as the registry keeps it.
pub trait DynHandler: Send + Sync {
    /// Decodes the payload and does the work.
    fn call<'a>(
        &'a self,
        payload: Option<JsonText>,
        context: &'a TaskContext,
    ) -> LocalBoxFuture<'a, Result<(), TaskError>>;

    /// Whether the worker can wait for its end without a limit.
    fn ends_by_itself(&self) -> bool;
}

impl<H: TaskHandler> DynHandler for H {
    fn call<'a>(
        &'a self,
        payload: Option<JsonText>,
        context: &'a TaskContext,
    ) -> LocalBoxFuture<'a, Result<(), TaskError>> {
        Box::pin(async move {
            let payload = decode_payload(payload.as_ref()).map_err(TaskError::discard)?;
            self.run(payload, context).await
        })
    }

    fn ends_by_itself(&self) -> bool {
        H::ENDS_BY_ITSELF
    }
}
