//! What makes two attempts of one task recognisable as such, outside the database.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::context::TaskContext;
use crate::domain::identity::DatabaseId;

/// The same for each attempt of a task, and different for each task: of the database, the number, and when it was
/// enqueued, because a database that is made afresh begins at 1 again.
pub(super) fn idempotency_key(context: &TaskContext) -> String {
    let mut digest = Sha256::new();
    let database = context.app_data::<DatabaseId>().map(ToString::to_string).unwrap_or_default();
    digest.update(format!("{database}\0{}\0{}", context.task_id(), context.task().enqueued_at.timestamp_micros()));
    let bytes = digest.finalize();
    let start = format!("sexton-{}-", context.task_id());
    bytes.iter().take(16).fold(start, |mut key, byte| {
        let _ = write!(key, "{byte:02x}");
        key
    })
}
