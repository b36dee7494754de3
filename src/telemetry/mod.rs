//! The log: where events go, how they look, and which of them are seen at all.

mod control;
mod entry;
mod files;
mod filter;
mod journal;
mod line;
mod output;
mod rotation;
mod writer;

use std::{io::IsTerminal as _, path::PathBuf};

use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _};

pub use self::{
    control::{DebugChoice, LogControl, LogState},
    output::say_within,
};
use self::{
    files::Files,
    filter::LogFilter,
    journal::{JournaldLayer, Link},
    line::Style,
    output::{LogLayer, LogSink},
};
pub use crate::domain::daemon::log::{LogFormat as Format, Rotation};

/// What is shown where nobody says otherwise.
const USUAL: &str = "info";

/// Where the log goes, how it looks, and how much of it there is.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// Where to.
    pub target: LogTarget,
    /// How a line looks; the journal has fields instead.
    pub format: Format,
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

/// Begins the log of this process.
///
/// # Errors
/// If the filter cannot be read, or the log has begun already. A target that cannot be written to is no error: the log
/// never stops the work.
pub fn start(plan: LogPlan) -> anyhow::Result<LogControl> {
    let (place, journal, style) = match &plan.target {
        LogTarget::Files(files) => (files.dir.display().to_string(), None, Style::Plain),
        LogTarget::Automatic => match journal::link() {
            Link::Connected(journal) => ("journal".to_owned(), Some(journal), Style::Plain),
            Link::Broken => ("stderr".to_owned(), None, Style::Priorities),
            Link::None if std::io::stderr().is_terminal() => ("stderr".to_owned(), None, Style::Colours),
            Link::None => ("stderr".to_owned(), None, Style::Plain),
        },
    };
    let filter = plan.filter.as_deref().unwrap_or(USUAL);
    let control = LogControl::new(place, filter, plan.debug);
    let sieve = LogFilter::new(env_filter(filter)?, control.clone());
    let log = tracing_subscriber::registry();
    let pen = match (journal, plan.target) {
        (Some(journal), _) => {
            log.with(JournaldLayer::new(journal).with_filter(sieve)).try_init()?;
            return Ok(control);
        }
        (None, LogTarget::Automatic) => LogSink::Stderr(plan.format, style, control.clone()),
        (None, LogTarget::Files(files)) => LogSink::Files(Files::new(files, plan.format, control.clone())),
    };
    let output = match plan.waits {
        true => LogLayer::at_once(pen, control.clone()),
        false => LogLayer::later(pen, control.clone())?,
    };
    log.with(output.with_filter(sieve)).try_init()?;
    Ok(control)
}

fn env_filter(filter: &str) -> anyhow::Result<EnvFilter> {
    let directives = crate::domain::daemon::log::directives(filter)
        .map_err(|problem| anyhow::anyhow!("the log filter {problem}"))?;
    EnvFilter::try_new(&directives).map_err(|error| anyhow::anyhow!("the log filter `{filter}`: {error}"))
}
