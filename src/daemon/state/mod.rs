//! What modules may share, in small parts. Each part outlives every module.

pub(super) mod lease;
pub(super) mod liveness;
pub(super) mod module_status;
pub(super) mod processes;
pub(super) mod shared;
pub(super) mod spool;
pub(super) mod wakers;
