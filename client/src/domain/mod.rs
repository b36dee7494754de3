//! The rules that a client and the daemon share. Pure functions of values; nothing here waits, reads or writes.

pub mod expiry;
pub mod identity;
pub mod json;
pub mod new_task;
pub mod redact;
pub mod schema_name;
