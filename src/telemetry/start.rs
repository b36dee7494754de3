//! Starts the log of a process.

use anstream::{AutoStream, ColorChoice};

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

/// The filter if none is given.
const DEFAULT_FILTER: &str = "info";

/// Starts the log of this process.
///
/// # Errors
/// If the filter is invalid, or the log was started before. A target that cannot be written to is not an error: the log
/// never stops the daemon.
pub fn start(plan: LogPlan) -> anyhow::Result<LogControl> {
    let (destination, journal, style) = match &plan.target {
        LogTarget::Files(files) => (files.dir.display().to_string(), None, Style::Plain),
        LogTarget::Automatic => match journal::link() {
            Link::Connected(journal) => ("journal".to_owned(), Some(journal), Style::Plain),
            Link::Broken => ("stderr".to_owned(), None, Style::Priorities),
            Link::None if AutoStream::choice(&std::io::stderr()) != ColorChoice::Never => {
                ("stderr".to_owned(), None, Style::Colours)
            }
            Link::None => ("stderr".to_owned(), None, Style::Plain),
        },
    };
    let filter = plan.filter.as_deref().unwrap_or(DEFAULT_FILTER);
    let control = LogControl::new(destination, filter, plan.debug);
    let filter = LogFilter::new(env_filter(filter)?, control.clone());
    let log = tracing_subscriber::registry();
    let sink = match (journal, plan.target) {
        (Some(journal), _) => {
            log.with(JournaldLayer::new(journal).with_filter(filter)).try_init()?;
            return Ok(control);
        }
        (None, LogTarget::Automatic) => LogSink::Stderr(plan.format, style, control.clone()),
        (None, LogTarget::Files(files)) => LogSink::Files(Files::new(files, plan.format, control.clone())),
    };
    let output = match plan.is_synchronous {
        true => LogLayer::direct(sink, control.clone()),
        false => LogLayer::queued(sink, control.clone())?,
    };
    log.with(output.with_filter(filter)).try_init()?;
    Ok(control)
}

fn env_filter(filter: &str) -> anyhow::Result<EnvFilter> {
    let directives = crate::domain::daemon::log::directives(filter)
        .map_err(|problem| anyhow::anyhow!("invalid log filter: {problem}"))?;
    EnvFilter::try_new(&directives).map_err(|error| anyhow::anyhow!("invalid log filter `{filter}`: {error}"))
}
