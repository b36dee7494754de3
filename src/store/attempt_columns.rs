//! The columns of the history that come from an attempt, whatever has become of its task.

use sexton_entities::states::Verdict;

use super::{dialect::Kind, rows::Row};
use crate::domain::task::FinishedAttempt;

/// The columns, as [`set_attempt`] sets them.
pub(super) const ATTEMPT_COLUMNS: [(&str, Kind); 21] = [
    ("kind", Kind::Text),
    // An application may have written these two to SQLite in another form; here they have the one that can be compared.
    ("due_at", Kind::Instant),
    ("enqueued_at", Kind::Instant),
    ("claimed_at", Kind::Instant),
    ("started_at", Kind::Instant),
    ("finished_at", Kind::Instant),
    ("duration_ms", Kind::Integer),
    ("node", Kind::Text),
    ("outcome", Kind::Text),
    ("verdict", Kind::Text),
    ("exit_code", Kind::Integer),
    ("its_signal", Kind::Integer), // `signal` is a reserved word on MySQL
    ("error", Kind::Text),
    ("core_dumped", Kind::Boolean),
    ("cpu_user_ms", Kind::Integer),
    ("cpu_system_ms", Kind::Integer),
    ("peak_memory", Kind::Integer),
    ("output_bytes", Kind::Integer),
    ("result", Kind::Text),
    ("left_behind", Kind::Integer),
    ("traceparent", Kind::Text),
];

/// The name in the history of a column of [`ATTEMPT_COLUMNS`].
pub(super) fn name_in_history(column: &str) -> &str {
    column.trim_start_matches("its_")
}

/// Sets [`ATTEMPT_COLUMNS`].
pub(super) fn set_attempt(row: &mut Row<'_>, finished: &FinishedAttempt) {
    let (report, usage) = (&finished.report, finished.report.usage.as_ref());
    row.set("kind", finished.kind.as_deref())
        .at("due_at", finished.due_at)
        .at("enqueued_at", finished.enqueued_at)
        .at("claimed_at", finished.claimed_at)
        .at("started_at", finished.started_at)
        .at("finished_at", finished.finished_at)
        .set("duration_ms", finished.duration_ms)
        .set("node", finished.node.as_str())
        .set("outcome", finished.outcome.as_str())
        .set("verdict", finished.verdict.map(Verdict::as_str))
        .set("exit_code", report.exit_code)
        .set("its_signal", report.signal)
        .set("error", finished.error.as_deref())
        .set("core_dumped", report.core_dumped)
        .set("cpu_user_ms", usage.map(|usage| usage.user_ms))
        .set("cpu_system_ms", usage.map(|usage| usage.system_ms))
        .set("peak_memory", usage.map(|usage| usage.peak_memory))
        .set("output_bytes", usage.map(|usage| usage.output_bytes))
        .json("result", report.result.as_ref())
        .set("left_behind", report.left_behind)
        .set("traceparent", finished.trace.map(String::from));
}
