//! Exports spans by the OpenTelemetry protocol over HTTP, on a thread of its own.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_rustls::rustls::crypto::ring;

use super::attempt_span::AttemptSpan;

/// Maximum number of spans that wait; more are dropped.
const CAPACITY: usize = 2_048;
/// Maximum number of spans in one request.
const BATCH: usize = 512;
/// The collector answers within this time, or the spans are dropped.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A few spans wait so long for others.
const GATHERING: Duration = Duration::from_millis(200);

/// Passes spans to the thread that exports them. Clones share it.
#[derive(Clone)]
pub(super) struct Exporter {
    spans: Sender<AttemptSpan>,
    /// Spans that are neither exported nor dropped yet.
    waiting: Arc<AtomicUsize>,
}

impl Exporter {
    /// Starts the thread. None if that is impossible: then `tell` gets the reason, and nothing is exported.
    pub(super) fn start(endpoint: &str, node: &str, tell: impl Fn(Option<String>) + Send + 'static) -> Option<Self> {
        let (spans, taken) = channel(CAPACITY);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (endpoint, node, left) = (endpoint.to_owned(), node.to_owned(), waiting.clone());
        let tell = Arc::new(parking_lot::Mutex::new(tell));
        let of_thread = tell.clone();
        let work = move || {
            let tell = |trouble| (of_thread.lock())(trouble);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime.and_then(|runtime| runtime.block_on(export(&endpoint, &node, taken, &left, &tell))) {
                Ok(()) => {}
                Err(error) => tell(Some(error.to_string())),
            }
            // Nobody takes the rest.
            left.store(0, Ordering::Release);
        };
        match std::thread::Builder::new().name("otlp".to_owned()).spawn(work) {
            Ok(_) => Some(Self { spans, waiting }),
            Err(error) => {
                (tell.lock())(Some(error.to_string()));
                None
            }
        }
    }

    /// Takes a span, unless too many wait.
    pub(super) fn push(&self, span: AttemptSpan) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if self.spans.try_send(span).is_err() {
            self.done(1);
        }
    }

    /// The number of spans that are neither exported nor dropped.
    pub(super) fn waiting(&self) -> usize {
        if self.spans.is_closed() { 0 } else { self.waiting.load(Ordering::Acquire) }
    }

    fn done(&self, count: usize) {
        done(&self.waiting, count);
    }
}

fn done(waiting: &AtomicUsize, count: usize) {
    let _ = waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(count)));
}

/// Exports spans until nobody sends any more.
async fn export(
    endpoint: &str,
    node: &str,
    mut spans: Receiver<AttemptSpan>,
    waiting: &AtomicUsize,
    tell: &impl Fn(Option<String>),
) -> io::Result<()> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(ring::default_provider())
        .map_err(io::Error::other)?
        .https_or_http()
        .enable_http1()
        .build();
    let agent = concat!("sexton/", env!("CARGO_PKG_VERSION")).to_owned();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(HyperClient::new(connector, TIMEOUT, None))
        .with_endpoint(endpoint)
        .with_headers(HashMap::from([("user-agent".to_owned(), agent)]))
        .with_timeout(TIMEOUT)
        .build();
    let mut exporter = exporter.map_err(io::Error::other)?;
    let attributes = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", node.to_owned()),
    ];
    exporter.set_resource(&Resource::builder().with_service_name("sexton").with_attributes(attributes).build());
    let scope = InstrumentationScope::builder("sexton").with_version(env!("CARGO_PKG_VERSION")).build();
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = spans.recv().await {
        batch.push(first);
        tokio::time::sleep(GATHERING).await;
        while let Some(next) = (batch.len() < BATCH).then(|| spans.try_recv().ok()).flatten() {
            batch.push(next);
        }
        let count = batch.len();
        let data = batch.drain(..).map(|span| data(span, &scope)).collect();
        match tokio::time::timeout(TIMEOUT * 2, exporter.export(data)).await {
            Ok(Ok(())) => tell(None),
            Ok(Err(error)) => tell(Some(error.to_string())),
            Err(_) => tell(Some("no answer in time".to_owned())),
        }
        done(waiting, count);
    }
    Ok(())
}

fn data(span: AttemptSpan, scope: &InstrumentationScope) -> SpanData {
    let flags = TraceFlags::new(span.own.flags);
    let trace_id = TraceId::from_bytes(span.own.trace_id.to_be_bytes());
    let span_id = SpanId::from_bytes(span.own.parent_id.to_be_bytes());
    let state: TraceState = span.state.as_deref().and_then(|state| state.parse().ok()).unwrap_or_default();
    let mut attributes = vec![
        KeyValue::new("sexton.task.id", span.task_id),
        KeyValue::new("sexton.task.name", span.name.clone()),
        KeyValue::new("sexton.queue", span.queue),
        KeyValue::new("sexton.attempt", i64::from(span.attempt)),
        KeyValue::new("sexton.outcome", span.outcome),
        KeyValue::new("sexton.node", span.node),
    ];
    attributes.extend(span.schedule.map(|schedule| KeyValue::new("sexton.schedule", schedule)));
    SpanData {
        span_context: SpanContext::new(trace_id, span_id, flags, false, state),
        parent_span_id: span
            .parent
            .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.parent_id.to_be_bytes())),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: SpanKind::Consumer,
        name: span.name.into(),
        start_time: span.began,
        end_time: span.ended,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        // The error may be confidential, and the collector is a stranger.
        status: if span.is_failure { Status::error(span.outcome) } else { Status::Ok },
        instrumentation_scope: scope.clone(),
    }
}
