//! Exit codes of the command line. `sexton --help` lists them.

use crate::{config::Mistakes, store::StoreError};

/// The command failed; the message is on standard error.
pub(super) const FAILED: u8 = 1;
/// `period check`: no such period, or no such time.
pub(super) const PERIOD_UNKNOWN: u8 = 2;
/// `plan --against`: the plans differ.
pub(super) const PLANS_DIFFER: u8 = 2;
/// `doctor`: warnings, and nothing worse.
pub(super) const DOCTOR_WARNINGS: u8 = 1;
/// `doctor`: errors.
pub(super) const DOCTOR_ERRORS: u8 = 2;
/// `task wait`: the time limit is over.
pub(super) const TIMED_OUT: u8 = 3;
/// `status`: the daemon is not running. The codes of `status` are those of the Linux Standard Base.
pub(super) const NOT_RUNNING: u8 = 3;
/// `status`: cannot tell whether the daemon is running.
pub(super) const STATUS_UNKNOWN: u8 = 4;
/// Mistakes in the configuration, or a database that refuses what it says: `EX_CONFIG` of sysexits.h.
pub(super) const BAD_CONFIG: u8 = 78;

/// The exit code for an error that ends a command.
pub(super) fn of(error: &anyhow::Error) -> u8 {
    let is_configuration = error.chain().any(|cause| {
        cause.is::<Mistakes>() || cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_configuration)
    });
    if is_configuration { BAD_CONFIG } else { FAILED }
}
