//! Shepherds: small processes that each supervise one command, between the daemon and the program.
//!
//! ```text
//! sexton: daemon                        asks for a shepherd (shepherds.rs)
//!  └ sexton: shepherds                  the fork server: this binary in a hidden mode (fork_server.rs)
//!     └ sexton: [default] report #4711  a shepherd, forked by the server (shepherd_process.rs)
//!        └ php bin/report               the command (launch.rs)
//! ```
//!
//! The fork server is started with `posix_spawn`, because forking a large daemon is slow. A shepherd is forked by the
//! fork server, which is small and already loaded (ADR 7). A shepherd works without a daemon: it enforces the time limit,
//! captures the output within bounds, ends the whole process tree, and writes the result to the attempt directory
//! (attempt_dir.rs). Any daemon that finds the attempt directory can adopt the attempt.

mod answers;
mod attempt_dir;
mod begun_journal;
mod boot_id;
mod cgroup;
mod command_pipes;
mod fork;
mod fork_server;
mod launch;
mod launch_spec;
mod lease_file;
mod module_lock;
mod node_dir;
mod output_capture;
mod probe;
mod process_tree;
mod put_aside;
mod shepherd_process;
mod shepherds;
mod start_failure;
mod tail;
mod title;
mod tree_stats;
mod worker_pipes;

pub use self::{
    attempt_dir::{AttemptDir, AttemptDirState, OUTPUT_STREAMS},
    begun_journal::BegunJournal,
    boot_id::boot_id,
    fork_server::enter,
    launch_spec::{AttemptManifest, LaunchSpec, StopOrder},
    lease_file::LeaseFiles,
    module_lock::ModuleLock,
    node_dir::NodeDir,
    put_aside::{DAMAGED, FOREIGN},
    shepherds::{Shepherd, Shepherds, end_lost_command, retry_on_shortage},
    tail::{Piece, Sink, Tail},
    tree_stats::TreeStats,
    worker_pipes::WorkerPipes,
};
