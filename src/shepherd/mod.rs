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
mod blackbox;
mod census;
mod cgroup;
mod folder;
mod fork;
mod home;
mod launch;
mod live;
mod seat;
mod server;
mod shepherds;
mod spec;
mod stand;
mod title;
mod tree;

pub use self::{
    census::Census,
    folder::{Folder, Found, LIVE_STREAMS, boot_id},
    home::Home,
    live::{Live, Piece, Sink},
    seat::Seat,
    server::enter,
    shepherds::{Shepherd, Shepherds, patiently, without_result},
    spec::{Paper, Spec, StopOrder},
};
