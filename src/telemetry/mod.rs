//! The log: where events go, how a line looks, and which events are logged.

mod control;
mod entry;
mod files;
mod filter;
mod journal;
mod line;
mod output;
mod plan;
mod rotation;
mod start;
mod stderr;
mod stdout;
mod writer;

pub use self::{
    control::{DebugChoice, LogControl, LogState},
    plan::{FilePlan, LogPlan, LogTarget},
    start::start,
    stderr::print_within,
    stdout::log_stdout,
};
pub use crate::domain::daemon::log::{LogFormat, Rotation};
