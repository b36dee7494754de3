//! The driver runtime: all database sockets of this process belong to it, and it outlives every module.
//!
//! A connection belongs to the runtime in which it was opened, and breaks when that runtime ends. Each module has a
//! runtime of its own, which ends with the module. So connections are opened in a driver runtime that never ends; it is
//! entered around every call that may open one.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::LazyLock,
    task::{Context, Poll},
};

use tokio::runtime::{Builder, Handle};

/// The driver runtime of all database sockets of this process, on a thread of its own.
static DRIVER: LazyLock<Handle> = LazyLock::new(|| {
    let (sender, handle) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("database".to_owned()).spawn(move || {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = sender.send(Ok(runtime.handle().clone()));
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => {
                let _ = sender.send(Err(error));
            }
        }
    });
    match thread.map(|_| handle.recv()) {
        Ok(Ok(Ok(handle))) => handle,
        problem => panic!("cannot start the thread of the database sockets: {problem:?}"),
    }
});

/// Polls a future inside the driver runtime, on the caller's thread.
pub async fn on_driver<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _entered = DRIVER.enter();
        future.as_mut().poll(context)
    })
    .await
}

/// Lets a future run by itself on the driver's thread.
pub(in crate::store) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    DRIVER.spawn(future);
}

/// Calls a function inside the driver runtime.
fn enter_driver<T>(make: impl FnOnce() -> T) -> T {
    let _entered = DRIVER.enter();
    make()
}

/// A future that is also dropped inside the driver runtime. What the driver drops outside any runtime may panic; that
/// happens to unfinished work of a stopped thread.
pub struct DropInRuntime<F: Future>(Option<Pin<Box<F>>>);

impl<F: Future> DropInRuntime<F> {
    /// Wraps a future.
    pub fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future> Future for DropInRuntime<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &mut self.0 {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F: Future> Drop for DropInRuntime<F> {
    fn drop(&mut self) {
        enter_driver(|| drop(self.0.take()));
    }
}
