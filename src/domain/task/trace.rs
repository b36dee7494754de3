//! The trace of an attempt: what its command gets, what the log and the record name, and why a value is ignored.

use sexton_client::domain::trace::{TraceParent, check_tracestate};
use sha2::{Digest as _, Sha256};

use super::ClaimedTask;
use crate::domain::identity::DatabaseId;

/// The longest part of an invalid value that is quoted.
const QUOTED: usize = 60;

/// The trace of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptTrace {
    /// The span that caused the task, if it belongs to a trace.
    pub parent: Option<TraceParent>,
    /// What the command gets as `TRACEPARENT`, and what the record has: the span of the attempt if spans are exported, or
    /// else the parent.
    pub passed_on: Option<TraceParent>,
    /// What the command gets as `TRACESTATE`.
    pub state: Option<String>,
    /// Why a value of the task is ignored, in words for people.
    pub ignored: Option<String>,
}

impl AttemptTrace {
    /// The trace of an attempt whose own span nobody sees.
    pub fn of(task: &ClaimedTask) -> Self {
        let parent = match task.trace() {
            Ok(parent) => parent,
            Err(why) => {
                let value = task.traceparent.as_deref().unwrap_or_default();
                return Self {
                    ignored: Some(format!("traceparent {} is ignored: {why}", quoted(value))),
                    ..Self::default()
                };
            }
        };
        // Without the first, the second has no meaning.
        let state = task.tracestate.as_deref().filter(|_| parent.is_some());
        let (state, ignored) = match state.map(|state| (state, check_tracestate(state))) {
            Some((state, Err(why))) => (None, Some(format!("tracestate {} is ignored: {why}", quoted(state)))),
            Some((state, Ok(()))) => (Some(state.to_owned()), None),
            None => (None, None),
        };
        Self { parent, passed_on: parent, state, ignored }
    }

    /// The same, with a span of the attempt itself. A task without a trace begins one. The numbers follow from the task and
    /// its claim: the attempts of a task share a trace, and a node that adopts an attempt knows its span.
    #[must_use]
    pub fn with_own_span(self, task: &ClaimedTask, database: Option<&DatabaseId>) -> Self {
        let numbers = |what: &str, rest: i64| {
            let database = database.map(ToString::to_string).unwrap_or_default();
            let enqueued = task.enqueued_at.timestamp_micros();
            Sha256::digest(format!("{what} {database} {} {enqueued} {rest}", task.claim.task_id))
        };
        let first = |digest: &[u8], bytes: usize| {
            digest.iter().take(bytes).fold(0_u128, |number, byte| (number << 8) | u128::from(*byte)).max(1)
        };
        let trace_id = self.parent.map_or_else(|| first(&numbers("trace", 0), 16), |parent| parent.trace_id);
        let own = first(&numbers("span", task.claim.fence), 8);
        let flags = self.parent.map_or(1, |parent| parent.flags);
        let parent_id = u64::try_from(own).unwrap_or(u64::MAX);
        Self { passed_on: Some(TraceParent { trace_id, parent_id, flags }), ..self }
    }
}

/// The beginning of a value that may be anything.
fn quoted(value: &str) -> String {
    match value.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::claim::Claim;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn task(traceparent: Option<&str>, tracestate: Option<&str>) -> ClaimedTask {
        let own = str::to_owned;
        ClaimedTask { traceparent: traceparent.map(own), tracestate: tracestate.map(own), ..ClaimedTask::sample(7) }
    }

    #[test]
    fn what_is_valid_is_passed_on() {
        let trace = AttemptTrace::of(&task(Some(PARENT), Some("a=1")));
        assert_eq!(trace.passed_on.map(String::from).as_deref(), Some(PARENT));
        assert_eq!((trace.state.as_deref(), trace.ignored), (Some("a=1"), None));
        assert_eq!(AttemptTrace::of(&task(None, Some("a=1"))), AttemptTrace::default());
    }

    #[test]
    fn what_is_not_valid_is_ignored_with_the_reason() {
        let trace = AttemptTrace::of(&task(Some("00-\x1b"), Some("a=1")));
        let why = "traceparent \"00-\\u{1b}\" is ignored: a traceparent has the form \
                   00-<32 hexadecimal digits>-<16 hexadecimal digits>-<2 hexadecimal digits>";
        assert_eq!((trace.passed_on, trace.state, trace.ignored.as_deref()), (None, None, Some(why)));
        let trace = AttemptTrace::of(&task(Some(PARENT), Some("a")));
        assert!(trace.passed_on.is_some() && trace.state.is_none());
        assert!(trace.ignored.is_some_and(|why| why.starts_with("tracestate \"a\" is ignored: a tracestate has")));
        let long = AttemptTrace::of(&task(Some(&"x".repeat(255)), None)).ignored;
        assert!(long.is_some_and(|why| why.starts_with(&format!("traceparent \"{}\"… is ignored", "x".repeat(60)))));
    }

    #[test]
    fn attempts_of_a_task_share_its_trace_and_have_spans_of_their_own() {
        let task = task(None, None);
        let again = ClaimedTask { claim: Claim::new(7, 2), ..task.clone() };
        let other = ClaimedTask { claim: Claim::new(8, 1), ..task.clone() };
        let own = |task: &ClaimedTask| AttemptTrace::of(task).with_own_span(task, None).passed_on.expect("a span");
        let [first, second, other] = [&task, &again, &other].map(own);
        assert_eq!(first, own(&task), "who adopts it knows its span");
        assert_eq!(first.trace_id, second.trace_id);
        assert_ne!(first.parent_id, second.parent_id);
        assert_ne!(first.trace_id, other.trace_id);
        assert!(first.is_sampled());
        let of_parent = ClaimedTask { traceparent: Some(PARENT.replace("-01", "-00")), ..task };
        assert_eq!(own(&of_parent).trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!own(&of_parent).is_sampled(), "who began the trace decides");
    }
}
