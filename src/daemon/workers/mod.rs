//! The workers: a pool for each queue, the workers in it, and one attempt from its start to its end.

pub(super) mod attempt_executor;
mod attempt_log;
pub(super) mod pool;
pub(super) mod worker;
