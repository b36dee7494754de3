//! The line with a task for a worker process.

use std::time::Duration;

use serde_json::value::RawValue;
use sexton_entities::json_text::JsonText;

use crate::{
    domain::worker::protocol::{ToWorker, WorkerTask},
    handler::context::TaskContext,
};

/// The message for the process.
///
/// # Errors
/// If the payload cannot be written.
pub(super) fn of_task(payload: &JsonText, context: &TaskContext) -> Result<Vec<u8>, String> {
    let (task, definition) = (context.task(), context.definition());
    // A line break can be between the parts of the JSON only, and means nothing there.
    let text = payload.get().replace(['\n', '\r'], " ");
    let payload = RawValue::from_string(text).map_err(|error| error.to_string())?;
    let message = ToWorker::Task(WorkerTask {
        id: task.claim.task_id,
        name: &task.name,
        payload: &payload,
        attempt: task.attempt,
        max_attempts: task.max_attempts.unwrap_or(definition.max_attempts),
        fence: task.claim.fence,
        queue: &task.queue,
        schedule: task.schedule.as_deref(),
        due_at: task.due_at,
        timeout_ms: definition.timeout.map(milliseconds),
        after: task.predecessors.as_ref(),
    });
    message.line().map_err(|error| error.to_string())
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
