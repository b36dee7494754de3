//! The daemon inside a program that has a `main` and a runtime of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use tokio::sync::{
    mpsc::{Sender, channel},
    oneshot,
};

use super::Sexton;
use crate::{
    cli,
    daemon::{MAX_WAITING, RESTART, Request, ShutdownMode},
};

/// How the daemon ended that [`Sexton::run`] ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    code: i32,
}

impl RunEnd {
    /// Whether it was asked to end, and did so.
    pub fn is_clean(self) -> bool {
        self.code == 0
    }

    /// Whether it has to be started again, in a fresh process: it is recycled, or its database was replaced.
    pub fn wants_restart(self) -> bool {
        self.code == RESTART
    }

    /// The exit code that tells a service manager the same.
    pub fn exit_code(self) -> ExitCode {
        u8::try_from(self.code).map_or(ExitCode::FAILURE, ExitCode::from)
    }
}

/// Asks the daemon to drain if the caller drops the future.
struct DrainOnDrop(Sender<Request>);

impl Drop for DrainOnDrop {
    fn drop(&mut self) {
        // Nobody waits any more: the daemon drains on its own thread.
        let _ = self.0.try_send(Request::Stop(ShutdownMode::Drain));
    }
}

impl Sexton {
    /// Runs the daemon inside a program of your own, until `stop` is ready; then the daemon drains, as at SIGTERM: it
    /// claims nothing more, and running tasks have `daemon.stop_timeout` to end.
    ///
    /// The daemon lives on threads of its own and needs nothing of the runtime that waits for it: it may be one of Tokio,
    /// with one thread or many, an actix `System`, or any other. Signals, the log (a subscriber of `tracing`) and restarts
    /// are your program's. `config` is the configuration file; none means the usual places, or none if handlers are
    /// registered. `sexton status` and `sexton stop` find this daemon as any other.
    ///
    /// Call [`Sexton::new`] first in `main`, before the runtime exists; see there. A future that is dropped drains the
    /// daemon as well, and nobody waits for that.
    ///
    /// ```no_run
    /// fn main() -> anyhow::Result<std::process::ExitCode> {
    ///     let daemon = sexton::Sexton::new();
    ///     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    ///     let end = runtime.block_on(daemon.run(None, async {
    ///         let _ = tokio::signal::ctrl_c().await;
    ///     }))?;
    ///     Ok(end.exit_code())
    /// }
    /// ```
    ///
    /// # Errors
    /// If the configuration has mistakes, another daemon has the run directory, or the daemon cannot start or work.
    pub async fn run(self, config: Option<PathBuf>, stop: impl Future<Output = ()>) -> anyhow::Result<RunEnd> {
        self.check_place()?;
        let parts = Arc::new(cli::Parts::from(self));
        let (requests, receiver) = channel(MAX_WAITING);
        let (ended, end) = oneshot::channel();
        let live = move || {
            let result = catch_unwind(AssertUnwindSafe(|| cli::run_embedded(parts, config, receiver)));
            let _ = ended.send(result.unwrap_or_else(|_| Err(anyhow::anyhow!("the daemon panicked"))));
        };
        std::thread::Builder::new()
            .name("sexton".to_owned())
            .spawn(live)
            .context("cannot start the daemon's thread")?;
        let drain = DrainOnDrop(requests);
        let mut end = std::pin::pin!(end);
        let result = tokio::select! {
            result = &mut end => result,
            () = stop => {
                // The daemon may be ending already.
                let _ = drain.0.send(Request::Stop(ShutdownMode::Drain)).await;
                end.await
            }
        };
        let code = result.context("the daemon's thread ended without a word")??;
        Ok(RunEnd { code })
    }
}
