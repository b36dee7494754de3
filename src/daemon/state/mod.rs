//! What modules may share, in small parts. Each part outlives every module.

pub(super) mod all_paused;
pub(super) mod attempt_counts;
pub(super) mod attempt_spool;
pub(super) mod audit_trail;
pub(super) mod begun_attempts;
pub(super) mod command_starts;
pub(super) mod config_in_force;
pub(super) mod event_board;
pub(super) mod foreign_leftovers;
pub(super) mod latest_outlook;
pub(super) mod lease;
pub(super) mod liveness;
pub(super) mod milestones;
pub(super) mod module_status;
pub(super) mod open_problems;
pub(super) mod pings;
pub(super) mod programs;
pub(super) mod queue_troubles;
pub(super) mod rate_waits;
pub(super) mod this_node;
pub(super) mod unknown_tasks;
pub(super) mod wakers;
pub(super) mod worker_board;
