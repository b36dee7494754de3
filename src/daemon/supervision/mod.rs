//! Supervision: every module runs in an actor of its own, on a thread of its own, and is restarted when it ends.

pub(super) mod module_actor;
pub(super) mod supervised_module;
pub(super) mod supervisor;
pub(super) mod supervisor_handle;
pub(super) mod supervisor_parts;
