//! Starts the log of a process.

use std::io::IsTerminal as _;

use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _};

use super::{
    control::LogControl,
    files::Files,
    filter::LogFilter,
    journal::{self, JournaldLayer, Link},
    line::Style,
    output::{LogLayer, LogSink},
    plan::{LogPlan, LogTarget},
};

/// What is shown where nobody says otherwise.
const USUAL: &str = "info";

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
        .map_err(|problem| anyhow::anyhow!("invalid log filter: {problem}"))?;
    EnvFilter::try_new(&directives).map_err(|error| anyhow::anyhow!("invalid log filter `{filter}`: {error}"))
}
