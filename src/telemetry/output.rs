//! Events on their way to standard error or into files.

use std::io::Write as _;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{
    Format,
    entry::Entry,
    files::Files,
    line::{Style, line},
};
use crate::clock::machine_time;

/// Writes events down.
pub(super) struct Output(Sink);

enum Sink {
    Stderr(Format, Style),
    Files(Files),
}

impl Output {
    pub(super) fn stderr(format: Format, style: Style) -> Self {
        Self(Sink::Stderr(format, style))
    }

    pub(super) fn files(files: Files) -> Self {
        Self(Sink::Files(files))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Output {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let entry = Entry::new(event, &context, machine_time());
        match &self.0 {
            Sink::Stderr(format, style) => say(&line(&entry, *format, *style)),
            Sink::Files(files) => files.write(&entry),
        }
    }
}

/// Writes to standard error. That it is closed is no reason to panic, as `eprintln!` would.
pub(super) fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
