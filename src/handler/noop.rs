//! Kind `noop`: does nothing and succeeds, for benchmarks and first tries.

use serde_json::Value;

use super::{context::TaskContext, error::TaskError, task_handler::TaskHandler};
use crate::domain::task::definition::NOOP;

/// Executes kind `noop`.
#[derive(Clone, Copy, Debug)]
pub struct NoopHandler;

impl TaskHandler for NoopHandler {
    const KIND: &'static str = NOOP;
    type Payload = Value;

    async fn run(&self, _payload: Value, _context: &TaskContext) -> Result<(), TaskError> {
        Ok(())
    }
}
