//! Kind `noop`: does nothing and succeeds, for benchmarks and first tries.

use serde::de::IgnoredAny;

use super::{context::TaskContext, error::TaskError, task_handler::TaskHandler};
use crate::domain::task::definition::NOOP;

/// Executes kind `noop`.
#[derive(Clone, Copy, Debug)]
pub struct NoopHandler;

impl TaskHandler for NoopHandler {
    const KIND: &'static str = NOOP;
    type Payload = IgnoredAny;

    async fn run(&self, _payload: IgnoredAny, _context: &TaskContext) -> Result<(), TaskError> {
        Ok(())
    }
}
