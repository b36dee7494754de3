//! Exit codes of the command line. `sexton --help` lists them.

/// The command failed; the message is on standard error.
pub(super) const FAILED: u8 = 1;
/// `period check`: no such period, or no such time.
pub(super) const PERIOD_UNKNOWN: u8 = 2;
/// `plan --against`: the plans differ.
pub(super) const PLANS_DIFFER: u8 = 2;
/// `task wait`: the time limit is over.
pub(super) const TIMED_OUT: u8 = 3;
/// `status`: the daemon is not running. The codes of `status` are those of the Linux Standard Base.
pub(super) const NOT_RUNNING: u8 = 3;
/// `status`: cannot tell whether the daemon is running.
pub(super) const STATUS_UNKNOWN: u8 = 4;
/// Mistakes in the configuration: `EX_CONFIG` of sysexits.h.
pub(super) const BAD_CONFIG: u8 = 78;
