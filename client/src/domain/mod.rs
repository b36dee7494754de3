//! The rules that a client and the daemon share. Pure functions of values; nothing here waits, reads or writes.

pub mod chain;
pub mod expiry;
pub mod identity;
pub mod json;
pub mod new_event;
pub mod new_task;
pub mod redact;
pub mod schedule_definition;
pub mod schema_name;
pub mod trace;
