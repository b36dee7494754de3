//! What a shepherd reads: the command with its surroundings, and the order to stop it.

use std::{
    env,
    path::{self, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::domain::{
    command::{CommandSpec, ResourceLimits, Stopped, capture::CaptureLimits, service::StopSignal},
    daemon::lease::Grant,
};

/// A command, ready to be started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The title of the shepherd in `ps`.
    pub title: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The environment. Variables that describe the user are added where they are missing.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub dir: PathBuf,
    /// User, group, priority and resource limits. Earlier versions wrote it by this name as well.
    #[serde(rename = "confines")]
    pub limits: ResourceLimits,
    /// How much of each output stream is kept.
    pub output: CaptureLimits,
    /// The time limit.
    pub timeout: Option<Duration>,
    /// How long a stopped command has to end by itself before it is killed.
    pub kill_after: Duration,
    /// The signal that asks the command to end.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// Whether background processes of the command may live on.
    pub keep_background: bool,
    /// Whether it is a worker process, which reads tasks from a pipe of its daemon and answers by another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uses_pipes: bool,
    /// Whether the command is stopped when the daemon dies.
    pub ends_with_daemon: bool,
    /// The lease of the node at the start, if the command must end before its lease does.
    #[serde(default)]
    pub lease: Option<Grant>,
    /// The delegated control group of the daemon, if any. The command gets its own group below it.
    pub cgroup: Option<PathBuf>,
}

impl LaunchSpec {
    /// The working directory of a command: its own, or else that of the daemon.
    pub fn dir_of(command: &CommandSpec) -> PathBuf {
        match &command.dir {
            Some(dir) => path::absolute(dir).unwrap_or_else(|_| dir.clone()),
            None => env::current_dir().unwrap_or_else(|_| "/".into()),
        }
    }
}

/// What is written before an attempt begins. `about` is for the daemon that adopts the attempt; the shepherd ignores
/// it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptManifest<A> {
    /// The boot in which the attempt began.
    pub boot_id: String,
    /// For the shepherd.
    pub spec: LaunchSpec,
    /// For the daemons.
    pub about: A,
}

/// An order to stop the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// The reason.
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
            uses_pipes: false,
            ends_with_daemon: false,
            lease: None,
            cgroup: None,
        };
        Self { boot_id: super::boot_id::boot_id().to_owned(), spec, about: 7 }
    }
}
