//! A log entry, and the daemon module it belongs to.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{layer::Context, registry::LookupSpan};

/// One event, with everything that any format shows.
#[derive(Debug)]
pub(super) struct LogEntry {
    pub(super) at: DateTime<Utc>,
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) module: Option<String>,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl LogEntry {
    /// The entry for an event.
    pub(super) fn new<S>(event: &Event<'_>, context: &Context<'_, S>, at: DateTime<Utc>) -> Self
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let metadata = event.metadata();
        let mut entry = Self::own(*metadata.level(), String::new(), at);
        entry.target = metadata.target().to_owned();
        event.record(&mut entry);
        entry.module = entry.module.or_else(|| enclosing_module(event, context));
        if let Some(trace) = enclosing_trace(event, context)
            && entry.fields.iter().all(|(name, _)| *name != TRACE_ID)
        {
            entry.fields.push((TRACE_ID, trace.into()));
        }
        entry
    }

    /// An entry that the log itself makes.
    pub(super) fn own(level: Level, message: String, at: DateTime<Utc>) -> Self {
        Self { at, level, target: module_path!().to_owned(), module: None, message, fields: Vec::new() }
    }

    fn take(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.message = text(value),
            "module" => self.module = Some(text(value)),
            // Events of crate `log` have their origin as fields.
            "log.target" => self.target = text(value),
            "log.module_path" | "log.file" | "log.line" => {}
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for LogEntry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}").into());
    }
}

/// The field with the number of the trace to which an attempt belongs.
const TRACE_ID: &str = "trace_id";

/// The name of the module that runs in a span.
struct ModuleName(String);

/// The number of the trace to which the attempt in a span belongs.
struct TraceId(String);

/// Whether an event may need the span: it is of a daemon module, or of an attempt that belongs to a trace.
pub(super) fn is_wanted_span(metadata: &Metadata<'_>) -> bool {
    is_module_span(metadata) || is_attempt_span(metadata)
}

fn is_attempt_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == "attempt" && metadata.target().starts_with("sexton")
}

/// Whether a daemon module runs in the span.
fn is_module_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == "module" && metadata.target().starts_with("sexton")
}

/// Stores in a span the name of the module, or the number of the trace.
pub(super) fn note_span<S>(attributes: &Attributes<'_>, id: &Id, context: &Context<'_, S>)
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_attempt = is_attempt_span(attributes.metadata());
    if !is_attempt && !is_module_span(attributes.metadata()) {
        return;
    }
    let mut named = Named { wanted: if is_attempt { TRACE_ID } else { "name" }, found: None };
    attributes.record(&mut named);
    match (named.found, context.span(id)) {
        (Some(trace), Some(span)) if is_attempt => span.extensions_mut().insert(TraceId(trace)),
        (Some(name), Some(span)) => span.extensions_mut().insert(ModuleName(name)),
        _ => {}
    }
}

/// The module of an event: the one in its field `module`, or the one whose span it is in.
pub(super) fn module_of<S>(event: &Event<'_>, context: &Context<'_, S>) -> Option<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let mut named = Named { wanted: "module", found: None };
    event.record(&mut named);
    named.found.or_else(|| enclosing_module(event, context))
}

fn enclosing_module<S>(event: &Event<'_>, context: &Context<'_, S>) -> Option<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    context.event_scope(event)?.find_map(|span| span.extensions().get::<ModuleName>().map(|name| name.0.clone()))
}

fn enclosing_trace<S>(event: &Event<'_>, context: &Context<'_, S>) -> Option<String>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    context.event_scope(event)?.find_map(|span| span.extensions().get::<TraceId>().map(|trace| trace.0.clone()))
}

/// Picks the text of one field.
struct Named {
    wanted: &'static str,
    found: Option<String>,
}

impl Visit for Named {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.wanted {
            self.found = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == self.wanted {
            self.found = Some(format!("{value:?}"));
        }
    }
}
