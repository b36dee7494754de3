//! What `sexton task show` says about the attempts that have ended: result, payload, and the last lines of the output.

use sexton_entities::{history, output, task};

use super::{
    command_pid::command_pid,
    output::{Printer, or_dash, print_line, print_text},
    session::{OpenSession, with_advice},
};
use crate::domain::{task::TraceParent, text::clean};

/// Number of lines that are shown of each stream.
const TAIL: usize = 10;

/// The captured output of the latest attempt, and the process of the running one.
pub(super) async fn details(
    open: &OpenSession,
    task: Option<&task::Model>,
    attempts: &[history::Model],
) -> anyhow::Result<(Option<output::Model>, Option<i32>)> {
    let written = match attempts.last() {
        Some(last) => open.store.output(last.id).await.map_err(with_advice)?,
        None => None,
    };
    Ok((written, task.and_then(|task| command_pid(&open.config, task))))
}

/// Prints what is known of a finished task, apart from its attempts.
pub(super) fn print_head(output: Printer, id: i64, attempts: &[history::Model]) {
    let Some(last) = attempts.iter().rfind(|attempt| attempt.verdict.is_some()).or(attempts.last()) else { return };
    let end = last.verdict.map_or(last.outcome.as_str(), |verdict| verdict.as_str());
    print_line!(
        "Task {id}, {}: {end}, queue {}, node {}",
        last.name,
        or_dash(last.queue.as_ref()),
        or_dash(last.node.as_ref())
    );
    let due = match (&last.schedule, last.due_at) {
        (Some(schedule), Some(due)) => format!("schedule {schedule}, due {}; ", output.time(due)),
        _ => String::new(),
    };
    print_line!("{due}enqueued {}, finished {}", output.time_or_dash(last.enqueued_at), output.time(last.finished_at));
    if let Some(parent) = last.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok()) {
        print_line!("trace {}", parent.trace_id_text());
    }
    for (word, value) in [("payload", &last.payload), ("result", &last.result)] {
        if let Some(value) = value {
            print_line!("{word} {value}");
        }
    }
}

/// Prints the last lines that the latest attempt wrote.
pub(super) async fn print_output(open: &OpenSession, attempts: &[history::Model]) -> anyhow::Result<()> {
    let Some(last) = attempts.last() else { return Ok(()) };
    let (Some(written), _) = details(open, None, attempts).await? else { return Ok(()) };
    for (name, text) in [("standard output", &written.stdout), ("standard error", &written.stderr)] {
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(TAIL)..];
        if shown.is_empty() {
            continue;
        }
        let more = match lines.len() - shown.len() {
            0 if !written.truncated => String::new(),
            _ => format!(" (the end; all that is kept: sexton task log {})", or_dash(last.task_id)),
        };
        print_line!("── {name} of attempt {}{more} ──", last.attempt);
        print_text(&(clean::lines(&shown.join("\n")) + "\n"));
    }
    Ok(())
}
