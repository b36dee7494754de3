//! The span of one attempt, as a collector of traces gets it.

use std::time::SystemTime;

use crate::domain::task::TraceParent;

/// The span of one attempt.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nobody exports it"))]
#[derive(Clone, Debug)]
pub(super) struct AttemptSpan {
    pub(super) own: TraceParent,
    /// The span that caused the task.
    pub(super) parent: Option<TraceParent>,
    pub(super) state: Option<String>,
    pub(super) task_id: i64,
    pub(super) name: String,
    pub(super) queue: String,
    pub(super) schedule: Option<String>,
    pub(super) node: String,
    pub(super) attempt: i32,
    pub(super) outcome: &'static str,
    pub(super) is_failure: bool,
    pub(super) began: SystemTime,
    pub(super) ended: SystemTime,
}
