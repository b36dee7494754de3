//! A TCP proxy before a server, which can be cut or stalled.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::block_on;

const UP: u8 = 0;
const CUT: u8 = 1;
const STALLED: u8 = 2;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A proxy before the server of a database URL.
pub(crate) struct Proxy {
    /// The URL through the proxy.
    pub(crate) url: String,
    state: Arc<AtomicU8>,
}

impl Proxy {
    /// A proxy before the server of that URL.
    pub(crate) fn to(url: &str) -> Self {
        let mut through = url::Url::parse(url).unwrap();
        let server = format!("127.0.0.1:{}", through.port().unwrap());
        let state = Arc::new(AtomicU8::new(UP));
        let seen = state.clone();
        let (tell, port) = std::sync::mpsc::sync_channel(1);
        // On a thread of its own: the test's is not always free.
        std::thread::spawn(move || {
            block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                loop {
                    let (near, _) = listener.accept().await.unwrap();
                    if seen.load(Ordering::SeqCst) != CUT {
                        tokio::task::spawn_local(carry(near, server.clone(), seen.clone()));
                    }
                }
            });
        });
        through.set_port(Some(port.recv().unwrap())).unwrap();
        Self { url: through.to_string(), state }
    }

    /// Closes all connections, and every new one at once.
    pub(crate) fn cut(&self) {
        self.state.store(CUT, Ordering::SeqCst);
    }

    /// Accepts and keeps connections, and carries nothing.
    pub(crate) fn stall(&self) {
        self.state.store(STALLED, Ordering::SeqCst);
    }

    /// Works again. What a stall has kept back is carried now.
    pub(crate) fn restore(&self) {
        self.state.store(UP, Ordering::SeqCst);
    }
}

/// Carries bytes until one side closes, or the proxy is cut.
async fn carry(mut near: TcpStream, server: String, state: Arc<AtomicU8>) {
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let (near_in, near_out) = near.split();
    let (far_in, far_out) = far.split();
    let cut = async {
        while state.load(Ordering::SeqCst) != CUT {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        _ = copy(near_in, far_out, &state) => {}
        _ = copy(far_in, near_out, &state) => {}
        () = cut => {}
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, state: &AtomicU8) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        while state.load(Ordering::SeqCst) == STALLED {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}
