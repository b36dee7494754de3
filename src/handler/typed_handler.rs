//! Handlers of typed tasks.

use sexton_client::Task;

use super::{context::TaskContext, error::TaskError, task_handler::TaskHandler};
use crate::domain::task::definition::TaskDefinition;

/// Code that executes the tasks of one [`Task`]. It is a [`TaskHandler`] whose kind and payload are those of the task, so
/// that they cannot differ from what applications enqueue. Add it with
/// [`Sexton::typed_handler`](crate::Sexton::typed_handler).
pub trait TypedHandler: Send + Sync + 'static {
    /// The task that it executes.
    type Task: Task;

    /// Does the work of one attempt, as [`TaskHandler::run`]. A payload that does not fit discards the task, with the name
    /// of the field, and never gets here.
    ///
    /// # Errors
    /// Any error means that the work is not done. The definition says whether and when it is tried again.
    fn run(
        &self,
        payload: <Self::Task as Task>::Payload,
        context: &TaskContext,
    ) -> impl Future<Output = Result<(), TaskError>>;

    /// The definition of its tasks, unless the configuration has a table `[task.NAME]`.
    fn definition() -> TaskDefinition
    where
        Self: Sized,
    {
        TaskDefinition::new(Self::Task::NAME, Self::Task::NAME)
    }
}

/// A typed handler as the registry takes it.
pub struct TypedAdapter<H>(pub H);

impl<H: TypedHandler> TaskHandler for TypedAdapter<H> {
    const KIND: &'static str = <H::Task as Task>::NAME;
    type Payload = <H::Task as Task>::Payload;

    async fn run(&self, payload: Self::Payload, context: &TaskContext) -> Result<(), TaskError> {
        self.0.run(payload, context).await
    }

    fn definition() -> TaskDefinition {
        H::definition()
    }
}
