//! What is in flight on this node: tasks that it has claimed and not yet recorded.
//!
//! It lives as long as the daemon, outside every module: when a module fails, what it was working on is still here. It
//! is bounded: the dispatcher reserves a credit for each task before it claims one, and there is a credit for each free
//! worker (for very short tasks also for workers that are free in a moment, ADR 0005) and for each free place among
//! [`claim_table::CAPACITY`].

mod claim_table;
mod claims_in_doubt;
mod closed_queues;
mod failed_tasks;
mod queue_slots;
mod recording_batch;
mod release;
mod reservation;
mod running_attempts;

pub(in crate::daemon) use self::{claim_table::QueueWorkers, reservation::Reservation};
pub use self::{
    claim_table::{InFlight, InFlightCounts},
    running_attempts::Running,
};
