//! Events on their way to standard error or into files.

use std::{
    io::{self, Write as _},
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{
    Format, LogControl,
    entry::LogEntry,
    files::Files,
    line::{Style, line},
    writer::{LogWriter, MOST_WAITING},
};
use crate::clock::machine_time;

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
    Stderr(Format, Style, LogControl),
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
            Way::Later(scribe) => scribe.take(entry, &self.control),
        }
    }
}

impl LogSink {
    fn write(&mut self, entry: &LogEntry) {
        match self {
            Self::Stderr(format, style, control) => {
                if let Err(error) = say(&line(entry, *format, *style)) {
                    control.count_lost(&error.to_string());
                }
            }
            Self::Files(files) => files.write(entry),
        }
    }
}

/// Writes to standard error. That it is closed is no reason to panic, as `eprintln!` would.
fn say(text: &str) -> io::Result<()> {
    io::stderr().lock().write_all(text.as_bytes())
}

/// Writes a short text to standard error if nobody has to wait for that; tells whether it did.
pub(super) fn say_if_it_flows(text: &str) -> bool {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(&stderr), PollFlags::POLLOUT)];
    let flows = poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0);
    flows && say(text).is_ok()
}

/// Writes to standard error, and waits no longer than this for whoever reads it: for the last word of a daemon.
pub fn say_within(text: String, limit: Duration) {
    let (sender, written) = mpsc::sync_channel(1);
    let writing = std::thread::Builder::new().name("last word".to_owned()).spawn(move || {
        let _ = sender.send(say(&text));
    });
    if writing.is_ok() {
        let _ = written.recv_timeout(limit);
    }
}
