//! Delivers events to standard error or to files.

use std::io;

use parking_lot::Mutex;
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
    writer::{CAPACITY, LogWriter, OVERFLOW},
};
use crate::{clock::machine_time, domain::daemon::log::LogFormat};

/// Takes events and delivers them.
pub(super) struct LogLayer {
    delivery: Delivery,
    control: LogControl,
}

enum Delivery {
    /// The thread that logs writes, and waits for it.
    Direct(Mutex<LogSink>),
    /// Another thread writes.
    Queued(LogWriter),
}

/// Where lines are written.
pub(super) enum LogSink {
    Stderr(LogFormat, Style, LogControl),
    Files(Files),
}

impl LogLayer {
    /// For a short command: no line is lost, and lines are in order with its other output.
    pub(super) fn direct(sink: LogSink, control: LogControl) -> Self {
        Self { delivery: Delivery::Direct(Mutex::new(sink)), control }
    }

    /// For the daemon: it does not wait for a slow reader.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn queued(mut sink: LogSink, control: LogControl) -> io::Result<Self> {
        let writer = LogWriter::start(CAPACITY, move |entry| sink.write(entry))?;
        control.set_writer(writer.clone());
        Ok(Self { delivery: Delivery::Queued(writer), control })
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let entry = LogEntry::new(event, &context, machine_time());
        match &self.delivery {
            Delivery::Direct(sink) => sink.lock().write(&entry),
            Delivery::Queued(writer) => {
                if !writer.push(entry) {
                    self.control.count_lost(OVERFLOW);
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
