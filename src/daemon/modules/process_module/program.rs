//! One run of a program: from its start under a shepherd to its end, with its output.

use std::{
    io,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    environment::environment,
    output_stream::OutputStream,
    parts::{POLL_INTERVAL, ProcessParts},
    stop::StopSequence,
};
use crate::{
    daemon::module::ModuleContext,
    domain::{
        command::{CommandEnd, capture::CaptureLimits, service::ProcessSpec},
        identity::ModuleName,
        task::claim::Claim,
    },
    shepherd::{
        AttemptManifest, LaunchSpec, OUTPUT_STREAMS, Shepherd, TreeStats, boot_id, end_lost_command, retry_on_shortage,
    },
};

/// Output is read as it comes and need not be kept for long; a burst of this size is read completely.
const OUTPUT: CaptureLimits = CaptureLimits { head: 16 * 1024, tail: 128 * 1024 };
/// How often its memory is measured.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// After this time without output, it is read only as often as memory is measured.
const SILENCE: Duration = Duration::from_secs(3);
/// Maximum duration of a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// What the attempt directory says about a start, for the daemon that finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::daemon::modules) struct ProgramInfo {
    /// Name of the module.
    pub(in crate::daemon::modules) module: String,
}

/// What a program is for its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgramRole {
    /// The program itself.
    Program,
    /// The check before its start.
    Check,
}

/// A program that runs, or has ended without being settled.
pub(super) struct Program {
    shepherd: Shepherd,
    started: Instant,
    since: DateTime<Utc>,
    streams: [OutputStream; 2],
    stats: TreeStats,
    /// When `stats` were taken.
    measured: Option<Instant>,
    /// When it last wrote something.
    last_output: Instant,
}

impl Program {
    pub(super) async fn start(
        context: &ModuleContext,
        parts: &ProcessParts,
        process: &ProcessSpec,
        argv: &[String],
        part: ProgramRole,
    ) -> io::Result<Self> {
        let processes = &parts.processes;
        let start = processes.next_start();
        let spec = spec(context, parts, process, argv, part, start);
        let paper = AttemptManifest {
            boot_id: boot_id().to_owned(),
            spec,
            about: ProgramInfo { module: context.name().to_string() },
        };
        let shepherd = processes.shepherds.start(Claim::new(start, 0), &paper, None).await?;
        let streams = OUTPUT_STREAMS.map(|name| OutputStream::new(shepherd.attempt_dir(), name));
        let since = context.clock().now();
        Ok(Self {
            shepherd,
            started: Instant::now(),
            since,
            streams,
            stats: TreeStats::default(),
            measured: None,
            last_output: Instant::now(),
        })
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// If its shepherd cannot be watched.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.shepherd.ended().await
    }

    /// For how long it has run.
    pub(super) fn lived(&self) -> Duration {
        self.started.elapsed()
    }

    /// When it was started.
    pub(super) fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// The program's process id, once known.
    pub(super) fn pid(&self) -> Option<i32> {
        self.stats.command
    }

    /// The resident memory of its whole process tree, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.stats.resident
    }

    /// How long until the next [`Program::look`]; its end is noticed at once.
    pub(super) fn pace(&self) -> Duration {
        let is_silent = self.last_output.elapsed() >= SILENCE && self.stats.command.is_some();
        if is_silent { STATS_INTERVAL } else { POLL_INTERVAL }
    }

    /// Logs new output, and measures memory if it is time.
    ///
    /// # Errors
    /// If its output cannot be read.
    pub(super) fn look(&mut self, module: &ModuleName) -> io::Result<()> {
        for stream in &mut self.streams {
            if stream.log_new(module, None)? {
                self.last_output = Instant::now();
            }
        }
        // Until its process is visible, it is searched for each time.
        if self.stats.command.is_none() || self.measured.is_none_or(|at| at.elapsed() >= STATS_INTERVAL) {
            self.stats = self.shepherd.tree_stats();
            self.measured = Some(Instant::now());
        }
        Ok(())
    }

    /// Stops the program, by force if needed, and logs its last output.
    ///
    /// # Errors
    /// If it does not end even when it is killed.
    pub(super) async fn stop(
        mut self,
        context: &ModuleContext,
        parts: &ProcessParts,
        process: &ProcessSpec,
    ) -> anyhow::Result<()> {
        let module = context.name();
        let mut stop = StopSequence::begin(module, &self.shepherd, process.stop_timeout);
        while tokio::time::timeout(POLL_INTERVAL, self.shepherd.ended()).await.is_err() {
            context.progress();
            self.look(module)?;
            if parts.processes.is_forced() {
                stop.force(module, &self.shepherd);
            }
            anyhow::ensure!(stop.press(module, &self.shepherd), "its program does not end even though it was killed");
        }
        let end = self.settle(context).await?;
        let how = match (&end.signal, end.exit_code) {
            (Some((_, name)), _) => format!(": ended by signal {name}"),
            (None, Some(code)) => format!(": exit code {code}"),
            (None, None) => end.failure.map(|failure| format!(": {failure}")).unwrap_or_default(),
        };
        tracing::info!(%module, "stopped its program{how}");
        Ok(())
    }

    /// Logs the last output of a program that has ended, and removes its directory. Returns how it ended.
    ///
    /// # Errors
    /// If its result or output cannot be read.
    pub(super) async fn settle(mut self, context: &ModuleContext) -> io::Result<CommandEnd> {
        let folder = self.shepherd.attempt_dir().clone();
        let result = retry_on_shortage(|| folder.result()).await?;
        let end = result.unwrap_or_else(|| end_lost_command(&folder));
        for (stream, kept) in self.streams.iter_mut().zip([&end.stdout, &end.stderr]) {
            stream.log_new(context.name(), Some(kept))?;
        }
        folder.remove();
        Ok(end)
    }
}

/// What the shepherd starts.
fn spec(
    context: &ModuleContext,
    parts: &ProcessParts,
    process: &ProcessSpec,
    argv: &[String],
    part: ProgramRole,
    start: i64,
) -> LaunchSpec {
    let (command, module) = (&process.command, context.name());
    LaunchSpec {
        title: match part {
            ProgramRole::Program => format!("sexton: module {module}"),
            ProgramRole::Check => format!("sexton: module {module} (check)"),
        },
        argv: argv.to_vec(),
        env: environment(command, module, &parts.node, start),
        dir: LaunchSpec::dir_of(command),
        limits: command.limits.clone(),
        output: OUTPUT,
        timeout: (part == ProgramRole::Check).then_some(CHECK_TIMEOUT),
        kill_after: process.stop_timeout,
        stop_signal: process.stop_signal,
        keep_background: false,
        uses_pipes: false,
        ends_with_daemon: true,
        lease: None,
        cgroup: parts.processes.shepherds.cgroup(),
    }
}
