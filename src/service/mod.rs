//! The daemon as one process among others: where it is reached, how it is asked, and who is above it.
//!
//! ```text
//! run_dir/daemon.lock        held by the daemon for life: who has it is the daemon
//!         supervisor.lock    held by the process supervisor of `sexton start`
//!         control.sock       the daemon's answers, HTTP
//!         notify.sock        the daemon's signs of life to its process supervisor
//!         supervisor.json    what the process supervisor is doing
//!         ending.json        how the latest daemon ended
//! ```
//!
//! A lock tells who lives; what stands in files is for people, and believed only with the lock.

pub mod control;
mod exit_report;
mod lock;
pub mod notify;
mod ownership;
mod processes;
mod rundir;
mod state;
mod supervisor;

pub use self::{
    exit_report::{ExitReport, Interrupted},
    lock::{FileLock, Holder, LockError, RESTARTED},
    ownership::check_owner,
    processes::{ProcessInfo, end_children, own_memory, tree},
    rundir::{Role, RunDir},
    state::{State, SupervisorState},
    supervisor::{DAEMON_TITLE, Started, SupervisorPlan, enter, launch},
};
