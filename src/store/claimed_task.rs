//! Reading claimed tasks, and what is wrong with one that this node cannot execute.

use sea_orm::{QueryResult, Value};
use sexton_entities::json_text::JsonText;

use super::{
    ClaimResult, Store, StoreError,
    row_decoding::{UnreadableColumn, column, existing_instant, instant},
    rows::claim_of,
    unreadable_tasks::UnreadableTask,
};
use crate::domain::{
    identity::{NodeId, QueueName},
    task::ClaimedTask,
    text::json,
};

/// What an UPDATE has claimed from one queue, as far as it is read.
#[derive(Default)]
pub(super) struct ClaimedRows {
    found: ClaimResult,
    /// With their priorities.
    tasks: Vec<(i32, ClaimedTask)>,
    unreadable: Vec<UnreadableTask>,
}

impl ClaimedRows {
    /// Reads the next row.
    ///
    /// # Errors
    /// If not even the number of the task can be read.
    pub(super) fn read(&mut self, store: &Store, row: &QueryResult, queue: &QueueName) -> Result<(), StoreError> {
        if store.claims_behind() {
            self.found.position.advance(row.try_get("", "priority")?, row.try_get("", "id")?);
        }
        if row.try_get::<String>("", "state")? != "running" {
            self.found.postponed += 1;
            return Ok(());
        }
        let read = store.claimed(row, queue).and_then(|task| {
            check_fence(task.claim.fence)?;
            Ok((column::<i32>(row, "priority")?, task))
        });
        match read {
            Ok(task) => self.tasks.push(task),
            Err(why) => self.unreadable.push(UnreadableTask::new(row, why)?),
        }
        Ok(())
    }

    /// The result of the claim, in the order of the queue. Tasks that cannot be read are set aside.
    pub(super) async fn into_result(mut self, store: &Store, node: &NodeId, queue: &QueueName) -> ClaimResult {
        self.found.postponed += self.unreadable.len();
        store.set_aside_claimed(node, queue, &self.unreadable).await;
        self.tasks.sort_by_key(|(priority, task)| (*priority, task.claim.task_id));
        ClaimResult { tasks: self.tasks.into_iter().map(|(_, task)| task).collect(), ..self.found }
    }
}

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
