//! The log: where events go, how a line looks, and which events are logged. And the spans of attempts.

mod attempt_span;
mod control;
mod entry;
mod files;
mod filter;
mod journal;
mod line;
#[cfg(feature = "otlp")]
mod otlp;
mod output;
pub(crate) mod panic_messages;
mod plan;
mod rotation;
mod spans;
mod start;
mod stderr;
mod stdout;
mod writer;

pub use self::{
    control::{DebugChoice, LogControl, LogState},
    plan::{FilePlan, LogPlan, LogTarget},
    spans::AttemptSpans,
    start::start,
    stderr::print_within,
    stdout::log_stdout,
};
pub use crate::domain::daemon::log::{LogFormat, Rotation};
