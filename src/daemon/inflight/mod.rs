//! What is in flight on this node: tasks that it has claimed and not yet recorded.
//!
//! It lives as long as the daemon, outside every module: when a module fails, what it was working on is still here. It
//! is bounded: the dispatcher reserves a credit for each task before it claims one, and there is a credit for each free
//! worker (for very short tasks also for workers that are free in a moment, ADR 0005) and for each free place among
//! [`claims::CAPACITY`].

mod batch;
mod claims;
mod closed;
mod doubt;
mod failed_tasks;
mod give_back;
mod release;
mod reservation;
mod running;
mod slots;

pub(in crate::daemon) use self::claims::QueueWorkers;
pub use self::{
    claims::{InFlight, InFlightCounts},
    running::Running,
};
