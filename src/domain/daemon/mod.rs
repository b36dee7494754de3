//! Rules of the daemon itself: when a module is restarted, when the daemon is recycled, what a summary shows.

pub mod breaker;
pub mod disk;
pub mod lease;
pub mod log;
pub mod ownership;
pub mod recycle;
pub mod restart_policy;
pub mod summary;
