//! The systemd journal: detected automatically, with levels and fields.

use std::fmt;

use tracing::{
    Event, Subscriber,
    field::{Field, Value, Visit},
    span::{Attributes, Id, Record},
};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{entry, line::headline};

/// Prefix of event fields in the journal: `SEXTON_MODULE=cron`.
const PREFIX: &str = "SEXTON";
/// More fields than any event has.
const MAX_FIELDS: usize = 32;

/// Whether standard error is connected to the journal.
pub(super) enum Link {
    /// Connected, and the native socket of the journal is available.
    Connected(tracing_journald::Layer),
    /// Connected, but without the native socket: lines with priorities have to do.
    Broken,
    /// Not connected.
    None,
}

/// Checks where standard error leads.
pub(super) fn link() -> Link {
    if !is_connected() {
        return Link::None;
    }
    match tracing_journald::layer() {
        Ok(layer) => Link::Connected(layer),
        Err(_) => Link::Broken,
    }
}

/// systemd passes the device and inode of standard error, which differ after a redirection (systemd.exec(5)).
fn is_connected() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr()).is_ok_and(|file| *stream == *format!("{}:{}", file.st_dev, file.st_ino))
}

/// Sends events to the journal. The message begins with the name of the module, because many tools show the message
/// only.
pub(super) struct JournaldLayer(tracing_journald::Layer);

impl JournaldLayer {
    pub(super) fn new(layer: tracing_journald::Layer) -> Self {
        let mappings =
            PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
        let layer = layer.with_field_prefix(Some(PREFIX.to_owned())).with_syslog_identifier("sexton".to_owned());
        Self(layer.with_priority_mappings(mappings))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JournaldLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(module) = entry::module_of(event, &context) else { return self.0.on_event(event, context) };
        let mut texts = Texts(Vec::new());
        event.record(&mut texts);
        let (Some((filler, _)), true) = (texts.0.first().cloned(), texts.0.len() <= MAX_FIELDS) else {
            return self.0.on_event(event, context);
        };
        for (field, text) in &mut texts.0 {
            if field.name() == "message" {
                *text = headline(Some(&module), text);
            }
        }
        let values: [(&Field, Option<&dyn Value>); MAX_FIELDS] =
            std::array::from_fn(|index| match texts.0.get(index) {
                Some((field, text)) => (field, Some(text as &dyn Value)),
                None => (&filler, None),
            });
        let fields = event.metadata().fields().value_set(&values);
        self.0.on_event(&Event::new(event.metadata(), &fields), context);
    }
}

/// The fields of an event, as text.
struct Texts(Vec<(Field, String)>);

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.clone(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.clone(), format!("{value:?}")));
    }
}
