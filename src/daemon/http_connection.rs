//! One HTTP connection to this daemon, at the control socket or at the address of the metrics.

use std::{convert::Infallible, future::Future, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection that is silent for this long is closed.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection is closed after this time: a peer that never reads its answer would keep its place for ever.
const MAX_LIFE: Duration = Duration::from_secs(300);

/// Answers the requests of a connection until it ends.
pub(super) async fn serve_connection<S, A>(stream: S, answer: impl Fn(Request<Incoming>) -> A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(READ_TIMEOUT);
    let serving = server.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(MAX_LIFE, serving).await {
        tracing::debug!("an HTTP connection broke: {error}");
    }
}
