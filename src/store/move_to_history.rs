//! Tasks that end move into the history: its rows are written from theirs and the little that is new.
//!
//! On PostgreSQL one statement does it, which also deletes their rows. The others cannot insert what they delete: see
//! [`Store::move_by_rows`].

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::Value;
use serde_json::{Map, Value as Json};
use sexton_entities::states::{Outcome, Verdict};

use super::{
    Store, StoreError, array_text,
    connection::DatabaseTransaction,
    dialect::Dialect,
    finish::ends,
    finish_result::{HeldTask, is_followed},
};
use crate::domain::task::{FinishedAttempt, claim::Claim};

/// The parameters, each an array with an element for each attempt, and their types.
const NEW_VALUES: [(&str, &str); 13] = [
    ("id", "bigint"),
    ("fence", "bigint"),
    ("enqueued", "bigint"),
    ("claimed", "bigint"),
    ("started", "bigint"),
    ("finished", "bigint"),
    ("duration_ms", "bigint"),
    ("keeps_payload", "boolean"),
    ("node", "text"),
    ("kind", "text"),
    ("outcome", "text"),
    ("verdict", "text"),
    ("rest", "text"),
];
/// Columns of the history that most attempts have not. They are one JSON object, or NULL.
const REST: [(&str, &str); 11] = [
    ("exit_code", "bigint"),
    ("signal", "bigint"),
    ("error", "text"),
    ("core_dumped", "boolean"),
    ("cpu_user_ms", "bigint"),
    ("cpu_system_ms", "bigint"),
    ("peak_memory", "bigint"),
    ("output_bytes", "bigint"),
    ("result", "jsonb"),
    ("left_behind", "bigint"),
    ("traceparent", "text"),
];
/// PostgreSQL computes instants from microseconds by numbers of 53 bits.
const EXACT_MICROS: i64 = 1 << 53;

impl Store {
    /// Splits a batch: attempts whose tasks can move into the history, and the others.
    pub(super) fn movable<'a>(
        &self,
        batch: &'a [FinishedAttempt],
    ) -> (Vec<&'a FinishedAttempt>, Vec<&'a FinishedAttempt>) {
        let mut tasks = HashSet::new();
        batch.iter().partition(|finished| {
            let instants = [
                Some(finished.enqueued_at),
                finished.claimed_at,
                Some(finished.started_at),
                Some(finished.finished_at),
            ];
            let is_exact =
                |at: DateTime<Utc>| self.dialect != Dialect::Postgres || at.timestamp_micros().abs() < EXACT_MICROS;
            ends(finished.verdict)
                && finished.outcome != Outcome::Snoozed
                && instants.into_iter().flatten().all(is_exact)
                // Of two ends of a task, the claim of one at most still holds.
                && tasks.insert(finished.claim.task_id)
        })
    }

    /// Moves the tasks whose claims still hold into the history. Returns these tasks.
    pub(super) async fn move_to_history(
        &self,
        transaction: &DatabaseTransaction,
        finished: &[&FinishedAttempt],
    ) -> Result<HashMap<Claim, HeldTask>, StoreError> {
        if finished.is_empty() {
            return Ok(HashMap::new());
        }
        if self.dialect != Dialect::Postgres {
            return self.move_by_rows(transaction, finished).await;
        }
        let mut values = values(finished);
        values.push(array_text::plain(finished.iter().map(|finished| Some(finished.claim.task_id))));
        let rows = self.all(transaction, &statement(), values).await?;
        rows.iter().map(|row| HeldTask::of(row).map(|task| (task.claim, task))).collect()
    }
}

/// The condition is that of `Store::claim_holds`. Its shape leaves the planner one way for each part, also if the table
/// is bloated and has no statistics, or those of an empty table: the tasks are found by their key, because nothing but the
/// array of keys looks like the condition of an index; and a full join cannot be a nested loop.
fn statement() -> String {
    let at = |column: &str| format!("timestamptz 'epoch' + {column} * interval '1 microsecond'");
    let arrays: Vec<String> = NEW_VALUES.iter().map(|(_, kind)| format!("CAST(CAST(? AS text) AS {kind}[])")).collect();
    let names: Vec<&str> = NEW_VALUES.iter().map(|(name, _)| *name).collect();
    let rest_names: Vec<String> = REST.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let rest: Vec<String> = REST
        .iter()
        .map(|(name, kind)| {
            let key = ["'", name, "'"].concat();
            format!("CAST(CAST(d.rest AS json) ->> {key} AS {kind})")
        })
        .collect();
    format!(
        "WITH d AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS d({names})), \
         gone AS (DELETE FROM sexton_task t WHERE t.id = ANY(CAST(CAST(? AS text) AS bigint[])) \
         AND t.state LIKE 'running' \
         AND ((t.id, t.fence, t.node, t.enqueued_at) IN (SELECT id, fence, node, {enqueued} FROM d)) IS TRUE \
         RETURNING t.id, t.name, t.queue, t.schedule, t.due_at, t.enqueued_at, t.attempt, t.payload, t.fence, t.group_name) \
         INSERT INTO sexton_history (task_id, name, kind, queue, schedule, due_at, enqueued_at, claimed_at, started_at, \
         finished_at, duration_ms, node, attempt, outcome, verdict, payload, fence, group_name, {rest_names}) \
         SELECT g.id, g.name, d.kind, g.queue, g.schedule, g.due_at, g.enqueued_at, {claimed}, {started}, {finished}, \
         d.duration_ms, d.node, g.attempt, d.outcome, d.verdict, CASE WHEN d.keeps_payload THEN g.payload END, g.fence, g.group_name, \
         {rest} FROM gone g FULL JOIN d ON d.id = g.id WHERE (g.id IS NULL) IS FALSE \
         RETURNING task_id AS id, fence, group_name, {followed} AS is_followed",
        arrays = arrays.join(", "),
        names = names.join(", "),
        enqueued = at("enqueued"),
        rest_names = rest_names.join(", "),
        claimed = at("d.claimed"),
        started = at("d.started"),
        finished = at("d.finished"),
        rest = rest.join(", "),
        followed = is_followed("sexton_history.task_id"),
    )
}

/// In the order of [`NEW_VALUES`].
fn values(finished: &[&FinishedAttempt]) -> Vec<Value> {
    fn plain<T: std::fmt::Display>(all: &[&FinishedAttempt], of: impl Fn(&FinishedAttempt) -> Option<T>) -> Value {
        array_text::plain(all.iter().map(|finished| of(finished)))
    }
    fn texts<'a>(all: &[&'a FinishedAttempt], of: impl Fn(&'a FinishedAttempt) -> Option<&'a str>) -> Value {
        array_text::texts(all.iter().map(|finished| of(finished)))
    }
    vec![
        plain(finished, |finished| Some(finished.claim.task_id)),
        plain(finished, |finished| Some(finished.claim.fence)),
        plain(finished, |finished| Some(finished.enqueued_at.timestamp_micros())),
        plain(finished, |finished| finished.claimed_at.map(|at| at.timestamp_micros())),
        plain(finished, |finished| Some(finished.started_at.timestamp_micros())),
        plain(finished, |finished| Some(finished.finished_at.timestamp_micros())),
        plain(finished, |finished| Some(finished.duration_ms)),
        plain(finished, |finished| Some(finished.payload.is_some())),
        texts(finished, |finished| Some(finished.node.as_str())),
        texts(finished, |finished| finished.kind.as_deref()),
        texts(finished, |finished| Some(finished.outcome.as_str())),
        texts(finished, |finished| finished.verdict.map(Verdict::as_str)),
        array_text::texts(finished.iter().map(|finished| rest(finished))),
    ]
}

/// The values of [`REST`], if there are any.
fn rest(finished: &FinishedAttempt) -> Option<String> {
    let report = &finished.report;
    let usage = report.usage.as_ref();
    let values: [(&str, Json); REST.len()] = [
        ("exit_code", report.exit_code.into()),
        ("signal", report.signal.into()),
        ("error", finished.error.clone().into()),
        ("core_dumped", report.core_dumped.into()),
        ("cpu_user_ms", usage.map(|usage| usage.user_ms).into()),
        ("cpu_system_ms", usage.map(|usage| usage.system_ms).into()),
        ("peak_memory", usage.map(|usage| usage.peak_memory).into()),
        ("output_bytes", usage.map(|usage| usage.output_bytes).into()),
        ("result", report.result.as_ref().map(ToString::to_string).into()),
        ("left_behind", report.left_behind.into()),
        ("traceparent", finished.trace.map(String::from).into()),
    ];
    let given: Map<String, Json> = values
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    (!given.is_empty()).then(|| Json::Object(given).to_string())
}
