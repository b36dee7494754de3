//! A TCP proxy before a server, which a test can cut, stall or make silent.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::block_on;

const UP: u8 = 0;
/// Connections are closed, and new ones too.
const CUT: u8 = 1;
/// Connections stay open, and no byte arrives any more.
const SILENT: u8 = 2;
/// Connections stay open, and bytes arrive when the stall is over.
const STALLED: u8 = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A proxy before the server of a database URL.
pub(crate) struct Proxy {
    /// The URL through the proxy.
    pub(crate) url: String,
    state: Arc<AtomicU8>,
    open: Arc<AtomicUsize>,
}

/// Counts a connection as long as it is open.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Proxy {
    /// A proxy before the server of that URL.
    pub(crate) fn to(url: &str) -> Self {
        let mut through = url::Url::parse(url).unwrap();
        let server = format!("127.0.0.1:{}", through.port().unwrap());
        let (state, open) = (Arc::new(AtomicU8::new(UP)), Arc::new(AtomicUsize::new(0)));
        let (is, count) = (state.clone(), open.clone());
        let (tell, port) = std::sync::mpsc::sync_channel(1);
        // On a thread of its own: the test's is not always free.
        std::thread::spawn(move || {
            block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                loop {
                    let (near, _) = listener.accept().await.unwrap();
                    count.fetch_add(1, Ordering::SeqCst);
                    let counted = Counted(count.clone());
                    if is.load(Ordering::SeqCst) != CUT {
                        tokio::task::spawn_local(carry(near, server.clone(), is.clone(), counted));
                    }
                }
            });
        });
        through.set_port(Some(port.recv().unwrap())).unwrap();
        Self { url: through.to_string(), state, open }
    }

    /// Closes all connections, and refuses new ones.
    pub(crate) fn cut(&self) {
        self.state.store(CUT, Ordering::SeqCst);
    }

    /// Swallows all that is sent. Connections of this time never speak again.
    pub(crate) fn silence(&self) {
        self.state.store(SILENT, Ordering::SeqCst);
    }

    /// Accepts and keeps connections, and carries nothing for now.
    pub(crate) fn stall(&self) {
        self.state.store(STALLED, Ordering::SeqCst);
    }

    /// Works again. What a stall has kept back is carried now.
    pub(crate) fn restore(&self) {
        self.state.store(UP, Ordering::SeqCst);
    }

    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Carries bytes until the proxy is cut or one side closes. The server does not hear of the end of a client in silence.
async fn carry(mut near: TcpStream, server: String, state: Arc<AtomicU8>, counted: Counted) {
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let ((near_out, near_in), (far_out, far_in)) = (near.split(), far.split());
    let is_dead = Rc::new(Cell::new(false));
    let cut = async {
        while state.load(Ordering::SeqCst) != CUT {
            if state.load(Ordering::SeqCst) == SILENT {
                is_dead.set(true);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = pump(near_out, far_in, &state, &is_dead) => {}
        () = pump(far_out, near_in, &state, &is_dead) => {}
        () = cut => {}
    }
    drop((near, counted));
    while is_dead.get() && state.load(Ordering::SeqCst) != CUT {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &AtomicU8,
    is_dead: &Cell<bool>,
) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if state.load(Ordering::SeqCst) == SILENT {
            is_dead.set(true);
        }
        while state.load(Ordering::SeqCst) == STALLED {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if !is_dead.get() && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
