//! What a shepherd is told.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

#[cfg(test)]
use {super::boot_id::boot_id, crate::domain::command::CommandSpec};

use crate::domain::command::{ResourceLimits, Stopped, capture::CaptureLimits, service::StopSignal};

/// One command, ready to be started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// What `ps` shows of the shepherd.
    pub title: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment; what describes the user is added where it is missing.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub dir: PathBuf,
    /// As whom, and within which limits.
    #[serde(rename = "confines")]
    pub limits: ResourceLimits,
    /// How much of each output stream is kept.
    pub output: CaptureLimits,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How long it has to end by itself once it is told to.
    pub kill_after: Duration,
    /// What tells it to end by itself.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// Whether what it leaves behind may live on.
    pub keep_background: bool,
    /// Whether it is stopped when the daemon dies.
    pub ends_with_daemon: bool,
    /// The control group of its daemon, where that was delegated: the command gets one of its own below it.
    pub cgroup: Option<PathBuf>,
}

/// What is written down of an attempt before it begins. `about` is for whoever takes the attempt over; the
/// shepherd does not look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptManifest<A> {
    /// The boot of the machine in which it began.
    pub boot_id: String,
    /// For the shepherd.
    pub spec: LaunchSpec,
    /// For the daemons.
    pub about: A,
}

/// What a shepherd finds when it is told to stop its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Why.
    pub why: Stopped,
    /// How long the command has to end by itself.
    pub grace: Duration,
}

#[cfg(test)]
impl AttemptManifest<u8> {
    /// A manifest for tests.
    pub(super) fn sample() -> Self {
        let command = CommandSpec::new(vec!["true".to_owned()]);
        let spec = LaunchSpec {
            title: "sexton: [q] t #1".to_owned(),
            argv: command.argv,
            env: Vec::new(),
            dir: "/".into(),
            limits: command.limits,
            output: command.output,
            timeout: None,
            kill_after: Duration::ZERO,
            stop_signal: StopSignal::Term,
            keep_background: false,
            ends_with_daemon: false,
            cgroup: None,
        };
        Self { boot_id: boot_id().to_owned(), spec, about: 7 }
    }
}
