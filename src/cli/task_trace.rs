//! The trace to which a task that is enqueued by hand belongs.

use super::output::print_error;
use crate::domain::task::{TraceParent, check_tracestate};

/// A trace that is not valid is no reason to lose a task.
pub(super) fn trace(traceparent: Option<String>, tracestate: Option<String>) -> [Option<String>; 2] {
    let traceparent = traceparent.filter(|parent| !parent.trim().is_empty());
    let Some(parent) = traceparent else { return [None, None] };
    if let Err(why) = parent.trim().parse::<TraceParent>() {
        print_error!("sexton: --traceparent (or TRACEPARENT) is ignored: {why}");
        return [None, None];
    }
    let tracestate = tracestate.filter(|state| !state.trim().is_empty());
    if let Some(Err(why)) = tracestate.as_deref().map(check_tracestate) {
        print_error!("sexton: --tracestate (or TRACESTATE) is ignored: {why}");
        return [Some(parent), None];
    }
    [Some(parent), tracestate]
}
