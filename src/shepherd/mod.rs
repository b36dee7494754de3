//! Those who stand over commands: small processes between the daemon and each program that it runs.
//!
//! ```text
//! sexton: daemon                        asks for a shepherd (shepherds.rs)
//!  └ sexton: shepherds                  the fork server: this binary in a hidden mode (server.rs)
//!     └ sexton: [default] report #4711  a shepherd, forked off it (stand.rs)
//!        └ php bin/report               the command (launch.rs)
//! ```
//!
//! The fork server is started on the `posix_spawn` path, because forking a large daemon is slow; a shepherd is
//! forked off the fork server, because that is small and has been loaded already (ADR 7). A shepherd needs nobody:
//! it keeps the time limit, bounds and keeps the output, ends the whole tree of processes, and writes down how it
//! ended (folder.rs), whether or not its daemon still lives. Whoever finds an attempt's folder can take it over.

mod answers;
mod attempt_dir;
mod boot_id;
mod cgroup;
mod fork;
mod launch;
mod launch_spec;
mod module_lock;
mod node_dir;
mod output_capture;
mod server;
mod shepherds;
mod supervise;
mod tail;
mod title;
mod tree;
mod tree_stats;

pub use self::{
    attempt_dir::{AttemptDir, AttemptDirState, OUTPUT_STREAMS},
    boot_id::boot_id,
    launch_spec::{AttemptManifest, LaunchSpec, StopOrder},
    module_lock::ModuleLock,
    node_dir::NodeDir,
    server::enter,
    shepherds::{Shepherd, Shepherds, end_lost_command, retry_on_shortage},
    tail::{Piece, Sink, Tail},
    tree_stats::TreeStats,
};
