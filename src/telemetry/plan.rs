//! Where the log of a process goes, the format of its lines, and which events it has.

use std::path::PathBuf;

use super::control::DebugChoice;
use crate::domain::daemon::log::{LogFormat, Rotation};

/// The log of a process.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// Where the log goes.
    pub target: LogTarget,
    /// Format of a line. The journal has fields instead.
    pub format: LogFormat,
    /// A level, or directives of crate `tracing-subscriber`; `info` by default.
    pub filter: Option<String>,
    /// Which debug events are logged from the start.
    pub debug: DebugChoice,
    /// Whether the thread that logs waits until the line is written. Right for a short command. A daemon must not wait
    /// for readers of its log; it calls [`LogControl::finish`](super::LogControl::finish) at its end.
    pub is_synchronous: bool,
}

/// Where the log goes.
#[derive(Clone, Debug)]
pub enum LogTarget {
    /// The journal if standard error is connected to it, otherwise standard error.
    Automatic,
    /// Files.
    Files(FilePlan),
}

/// The log in files: `sexton.log` with all events, one file for each daemon module, and `error.log`.
#[derive(Clone, Debug)]
pub struct FilePlan {
    /// The directory. It is created whenever it is missing.
    pub dir: PathBuf,
    /// When a file is rotated.
    pub rotation: Rotation,
    /// Rotated files are deleted after this number of days.
    pub days_to_keep: u32,
    /// Number of files that are kept of each log that is rotated by size.
    pub keep_files: u32,
}
