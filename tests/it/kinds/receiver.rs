//! A server of HTTP for one test: answers as the test wants, and keeps what it was sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use crate::support::accept;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) line: String,
    /// By name in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A server.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What the server writes for a request, given its number from 0; none leaves the request without an answer.
pub(crate) type Answering = Arc<dyn Fn(usize, &Seen) -> Option<String> + Send + Sync>;

/// An answer with a body of plain text.
pub(crate) fn answer(status: &str, more: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n{body}"
    ))
}

impl Receiver {
    pub(crate) async fn start(answering: Answering) -> Self {
        Self::listen(answering, false).await
    }

    /// A server with the certificate of `tests/fixtures`.
    pub(crate) async fn start_encrypted(answering: Answering) -> Self {
        Self::listen(answering, true).await
    }

    async fn listen(answering: Answering, is_encrypted: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answering, kept) = (answering.clone(), kept.clone());
                tokio::spawn(async move {
                    match is_encrypted {
                        false => serve(stream, &answering, &kept).await,
                        true => {
                            if let Ok(stream) = accept(stream).await {
                                serve(stream, &answering, &kept).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answering: &Answering, kept: &Mutex<Vec<Seen>>) {
    let mut stream = BufReader::new(stream);
    let (mut request, mut line) = (Seen::default(), String::new());
    while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(request.headers.insert(name.to_lowercase(), value.to_owned())),
            None => request.line = line.trim_end().to_owned(),
        }
        line.clear();
    }
    let length = request.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    request.body = String::from_utf8(body).unwrap();
    let number = {
        let mut kept = kept.lock().unwrap();
        kept.push(request.clone());
        kept.len() - 1
    };
    match answering(number, &request) {
        Some(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        // Until the other side gives up.
        None => drop(stream.read_line(&mut line).await),
    }
}
