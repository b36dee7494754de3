//! `metrics`: offers the metrics at a TCP address, and writes them to a file for the textfile collector of the node
//! exporter. The control socket offers them without it.
//!
//! Settings: `metrics.listen` and `metrics.file` (neither is set), `module.metrics.interval` (15s): how often the file is
//! written. An address that is taken and a file that cannot be written are logged once, and `sexton status` shows them.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Bytes, body::Incoming, header};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use crate::{
    daemon::{
        http_connection::serve_connection,
        metrics::{MetricsSource, TextFormat},
        module::{DaemonModule, ModuleContext, Next},
    },
    domain::daemon::summary::SummaryTable,
    files::{explained, own_file},
};

/// Default interval between two writes of the file.
const INTERVAL: Duration = Duration::from_secs(15);
/// Maximum number of connections at once; others wait.
const MAX_CONNECTIONS: usize = 16;
/// Delay after a connection could not be accepted.
const RETRY_DELAY: Duration = Duration::from_millis(100);

pub(super) struct Metrics {
    source: MetricsSource,
    listening: Option<Listening>,
    written: u64,
}

/// The address that is served, until it is dropped.
struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait(?Send)]
impl DaemonModule for Metrics {
    async fn run(&mut self, context: &ModuleContext) -> anyhow::Result<()> {
        let settings = context.config().metrics.clone();
        let isolated = context.store().isolated();
        if self.listening.as_ref().map(|listening| listening.address) != settings.listen {
            // The old address is free before the new one is bound.
            self.listening = None;
            if let Some(address) = settings.listen {
                let what = format!("metrics cannot be offered at {address}");
                match self.listen(address).await {
                    Ok(listening) => {
                        isolated.forget(what);
                        self.listening = Some(listening);
                    }
                    Err(error) => isolated.note(what, error),
                }
            }
        }
        if let Some(file) = &settings.file {
            let text = self.source.text(TextFormat::Plain).await;
            let what = format!("metrics cannot be written to {}", file.display());
            match write(file, &text) {
                Ok(()) => {
                    isolated.forget(what);
                    self.written += 1;
                }
                Err(error) => isolated.note(what, error),
            }
        }
        Ok(())
    }

    async fn post_run(&mut self, _: &ModuleContext) -> anyhow::Result<Next> {
        Ok(Next::After(INTERVAL))
    }

    fn summary(&self) -> Vec<SummaryTable> {
        let mut table = SummaryTable::new("Metrics", &["Address", "Files written"], "");
        let address = self.listening.as_ref().map(|listening| listening.address.to_string());
        table.row([address.unwrap_or_else(|| "-".to_owned()), self.written.to_string()]);
        vec![table]
    }
}

impl Metrics {
    pub(super) fn new(source: MetricsSource) -> Self {
        Self { source, listening: None, written: 0 }
    }

    async fn listen(&self, address: SocketAddr) -> io::Result<Listening> {
        let listener = TcpListener::bind(address).await?;
        let task = actix_rt::spawn(serve(listener, self.source.clone()));
        tracing::info!("offering metrics at http://{address}/metrics");
        Ok(Listening { address, task })
    }
}

async fn serve(listener: TcpListener, source: MetricsSource) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // A lack of descriptors, or the client has gone.
            Err(error) => {
                tracing::debug!("cannot accept a connection for metrics: {error}");
                tokio::time::sleep(RETRY_DELAY).await;
                continue;
            }
        };
        let source = source.clone();
        actix_rt::spawn(async move {
            let _slot = slot;
            serve_connection(stream, |request| answer(&source, request)).await;
        });
    }
}

async fn answer(source: &MetricsSource, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let refusal = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => return source.response(request.headers().get(header::ACCEPT)).await,
        (_, "/metrics") => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::NOT_FOUND,
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"the metrics are at /metrics\n")));
    *response.status_mut() = refusal;
    response
}

/// Replaces the file in one step, so that the collector never reads a part of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let created = own_file().create(true).truncate(true).write(true).open(&new).map_err(explained);
    let written = created.and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
}
