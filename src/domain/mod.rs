//! The rules: what follows from what. Pure functions of values and `now`; nothing here waits, reads or writes.

pub mod address;
pub mod answer;
pub mod capture;
pub mod command;
pub mod credits;
pub mod cron;
pub mod definition;
pub mod json;
pub mod lifecycle;
pub mod lines;
pub mod log;
pub mod policy;
pub mod process;
pub mod recurrence;
pub mod recycle;
pub mod restart;
pub mod retry;
pub mod schedule;
pub mod span;
pub mod summary;
pub mod task;
pub mod why;
pub mod zone;
