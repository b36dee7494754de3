//! Events on their way to standard error or into files.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{
    control::LogControl,
    entry::LogEntry,
    files::Files,
    line::{Style, line},
    stderr,
    writer::{LogWriter, MOST_WAITING, TOO_FAST},
};
use crate::{clock::machine_time, domain::daemon::log::LogFormat};

/// Takes events, and sees to it that they are written down.
pub(super) struct LogLayer {
    way: Way,
    control: LogControl,
}

enum Way {
    /// Whoever logs writes, and waits for it.
    AtOnce(Mutex<LogSink>),
    /// Somebody else writes.
    Later(LogWriter),
}

/// What writes.
pub(super) enum LogSink {
    Stderr(LogFormat, Style, LogControl),
    Files(Files),
}

impl LogLayer {
    /// For a command that ends soon: it loses nothing, and its lines stand in order with what else it says.
    pub(super) fn at_once(pen: LogSink, control: LogControl) -> Self {
        Self { way: Way::AtOnce(Mutex::new(pen)), control }
    }

    /// For a daemon: its work does not wait for whoever reads.
    pub(super) fn later(mut pen: LogSink, control: LogControl) -> io::Result<Self> {
        let scribe = LogWriter::start(MOST_WAITING, move |entry| pen.write(entry))?;
        control.is_written_by(scribe.clone());
        Ok(Self { way: Way::Later(scribe), control })
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let entry = LogEntry::new(event, &context, machine_time());
        match &self.way {
            Way::AtOnce(pen) => pen.lock().unwrap_or_else(PoisonError::into_inner).write(&entry),
            Way::Later(scribe) => {
                if !scribe.take(entry) {
                    self.control.count_lost(TOO_FAST);
                }
            }
        }
    }
}

impl LogSink {
    fn write(&mut self, entry: &LogEntry) {
        match self {
            Self::Stderr(format, style, control) => {
                if let Err(error) = stderr::print(&line(entry, *format, *style)) {
                    control.count_lost(&error.to_string());
                }
            }
            Self::Files(files) => files.write(entry),
        }
    }
}
