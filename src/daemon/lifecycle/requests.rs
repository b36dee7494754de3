//! Requests to the daemon from outside: by signal, at the control socket, and from module `config_sync`.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{
    mpsc::{Receiver, Sender, channel},
    oneshot,
};

use sexton_client::principal::Principal;

use crate::domain::deploy::SignedVersion;

/// How many requests of one kind may wait.
pub const MAX_WAITING: usize = 16;

/// How a daemon shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Running attempts have `daemon.stop_timeout`. (TERM, INT)
    Drain,
    /// Running attempts have `daemon.force_timeout`. (a second TERM or INT, USR2)
    Force,
    /// Running attempts have no time. (QUIT)
    Immediate,
    /// As `Drain`, but commands continue: the daemon restarts itself.
    Restart,
}

/// What the daemon can be asked to do.
#[derive(Debug)]
pub enum Request {
    /// Shut down.
    Stop(ShutdownMode),
    /// Read the configuration again (HUP), and report the result.
    Reload {
        /// Receives the result, if somebody waits for it.
        reply: Option<Reply>,
        /// Who asks.
        by: Principal,
    },
    /// Stop claiming (TSTP), or claim again (CONT).
    Quiet {
        /// Whether to stop.
        quiet: bool,
        /// Who asks.
        by: Principal,
    },
    /// Log what runs. (USR1)
    LogRunning,
    /// The configuration files have changed.
    FilesChanged,
    /// Put a version of the configuration in force whose signature was checked, and report the result.
    Deploy {
        /// The version.
        version: Arc<SignedVersion>,
        /// Receives the result.
        reply: Reply,
    },
}

/// Receives the result of a request, or the reason why it was refused.
pub(in crate::daemon) type Reply = oneshot::Sender<Result<Value, String>>;

/// All requests, signals first.
pub(in crate::daemon) struct Requests {
    signals: Receiver<Request>,
    others: Receiver<Request>,
}

impl Requests {
    /// Requests from both sources. All but signals come through the sender.
    pub(in crate::daemon) fn new(signals: Receiver<Request>) -> (Self, Sender<Request>) {
        let (sender, others) = channel(MAX_WAITING);
        (Self { signals, others }, sender)
    }

    /// Whether a request to stop waits.
    pub(in crate::daemon) fn is_stop_waiting(&mut self) -> bool {
        let mut waiting = std::iter::from_fn(|| self.signals.try_recv().ok().or_else(|| self.others.try_recv().ok()));
        waiting.any(|request| matches!(request, Request::Stop(_)))
    }

    /// The next request; none if no signal can arrive any more.
    pub(in crate::daemon) async fn next(&mut self) -> Option<Request> {
        tokio::select! {
            biased;
            request = self.signals.recv() => request,
            Some(request) = self.others.recv() => Some(request),
        }
    }
}
