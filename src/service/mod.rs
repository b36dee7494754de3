//! The daemon as a process: its run directory and locks, its control socket, and its process supervisor.
//!
//! ```text
//! run_dir/daemon.lock        held by the daemon as long as it runs
//!         supervisor.lock    held by the process supervisor of `sexton start` as long as it runs
//!         control.sock       control socket of the daemon, HTTP
//!         notify.sock        messages of the daemon to its process supervisor
//!         supervisor.json    status of the process supervisor
//!         daemon.json        what the daemon was started with
//!         ending.json        how the latest daemon ended
//! ```
//!
//! Only a held lock proves that a process runs. The files are for people, and valid only with the lock.

pub mod control;
mod disk;
mod exit_report;
mod lock;
pub mod notify;
mod ownership;
mod process_supervisor;
mod processes;
mod rundir;
mod start_record;
mod supervisor_status;

pub use self::{
    disk::disk_space,
    exit_report::{ExitReport, Interrupted},
    lock::{FileLock, Holder, LockError, RESTARTED, has_restarted, is_restart},
    ownership::{account_of, check_directory, check_tree, ownership, user_name},
    process_supervisor::{DAEMON_TITLE, Started, SupervisorPlan, enter, launch},
    processes::{ProcessInfo, hide_memory, kill_children, own_memory, tree},
    rundir::{Role, RunDir},
    start_record::StartRecord,
    supervisor_status::{SupervisorState, SupervisorStatus},
};
