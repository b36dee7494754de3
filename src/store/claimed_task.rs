//! Reading a claimed task, and what is wrong with one that this node cannot execute.

use sea_orm::{QueryResult, Value};
use sexton_entities::json_text::JsonText;

use super::{
    Store,
    row_decoding::{UnreadableColumn, column, existing_instant, instant},
    rows::claim_of,
};
use crate::domain::{identity::QueueName, task::ClaimedTask, text::json};

impl Store {
    /// The parameter of [`Dialect::payload_within`](super::dialect::Dialect::payload_within). PostgreSQL adds a space to
    /// each comma and each colon, so that the text of an accepted payload may have twice its bytes.
    pub(super) fn payload_limit(&self) -> Value {
        i64::try_from(self.max_payload().saturating_mul(2)).unwrap_or(i64::MAX).into()
    }

    /// Reads a claimed task. A payload that cannot be read is the attempt's own failure; one that is too large, or any
    /// other column, sets it aside.
    pub(super) fn claimed(&self, row: &QueryResult, queue: &QueueName) -> Result<ClaimedTask, UnreadableColumn> {
        let (payload, unreadable): (Option<JsonText>, _) = match row.try_get("", "payload") {
            Ok(payload) => (payload, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let max = self.max_payload();
        let bytes = match &payload {
            Some(payload) if payload.get().len() as u64 > max => json::compact_size(payload.get()) as u64,
            Some(_) => 0,
            // Left in the database, or no payload at all.
            None => column::<Option<i64>>(row, "payload_bytes")?.unwrap_or_default().unsigned_abs(),
        };
        if bytes > max && unreadable.is_none() {
            return Err(UnreadableColumn(format!(
                "the payload has {bytes} bytes, and daemon.max_payload allows {max}"
            )));
        }
        Ok(ClaimedTask {
            claim: claim_of(row).map_err(|error| UnreadableColumn(error.cause()))?,
            name: column(row, "name")?,
            queue: queue.clone(),
            payload,
            attempt: column(row, "attempt")?,
            max_attempts: column(row, "max_attempts")?,
            pickups: column(row, "pickups")?,
            schedule: column(row, "schedule")?,
            due_at: instant(row, "due_at")?,
            enqueued_at: existing_instant(row, "enqueued_at")?,
            // A task that waits may have any value there; the claim sets it.
            started_at: instant(row, "started_at").ok().flatten().unwrap_or_default(),
            unreadable,
            snoozes: column(row, "snoozes")?,
            traceparent: trace_text(row, "traceparent"),
            tracestate: trace_text(row, "tracestate"),
            predecessors: row.try_get("", "predecessors").unwrap_or_default(),
        })
    }
}

/// A trace is never a reason to set a task aside: what is no text is one that is not valid.
fn trace_text(row: &QueryResult, name: &str) -> Option<String> {
    row.try_get::<Option<String>>("", name).unwrap_or_else(|_| Some("(not a text)".to_owned()))
}

/// The highest fence belongs to no claim: the next one could not be told from it.
pub(super) fn check_fence(fence: i64) -> Result<(), UnreadableColumn> {
    match fence {
        i64::MAX => Err(UnreadableColumn(format!("its fence is {fence}, and a claim needs a higher one"))),
        _ => Ok(()),
    }
}
