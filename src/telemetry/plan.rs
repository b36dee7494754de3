//! Where the log of a process goes, how it looks, and how much of it there is.

use std::path::PathBuf;

use super::control::DebugChoice;
use crate::domain::daemon::log::{LogFormat, Rotation};

/// Where the log goes, how it looks, and how much of it there is.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// Where to.
    pub target: LogTarget,
    /// How a line looks; the journal has fields instead.
    pub format: LogFormat,
    /// A level, or directives as crate `tracing` knows them; `info` unless given.
    pub filter: Option<String>,
    /// Whose debug events are seen from the beginning.
    pub debug: DebugChoice,
    /// Whether whoever logs waits until it is written. Right for a command that ends soon; a daemon must not depend on
    /// those who read its log, and calls [`LogControl::finish`] at its end.
    pub waits: bool,
}

/// Where the log goes.
#[derive(Clone, Debug)]
pub enum LogTarget {
    /// The journal if standard error is connected to it, otherwise standard error.
    Automatic,
    /// Files.
    Files(FilePlan),
}

/// The log in files: `sexton.log` with everything, one for each daemon module, and `error.log`.
#[derive(Clone, Debug)]
pub struct FilePlan {
    /// The folder; it is made when it is missing, at any time.
    pub dir: PathBuf,
    /// When a file is put aside.
    pub rotation: Rotation,
    /// Files that were put aside are deleted when they are older.
    pub days_to_keep: u32,
    /// Of those that were put aside for their size, so many are kept of each.
    pub keep_files: u32,
}
