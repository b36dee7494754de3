//! One run of a program: from its start under a shepherd to its end, with its output.

use std::{
    io,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    parts::{POLL_INTERVAL, ProcessParts},
    stop::StopSequence,
};
use crate::{
    daemon::module::ModuleContext,
    domain::{
        command::{
            CommandEnd,
            capture::{CaptureLimits, Kept},
            lines::Lines,
            service::ProcessSpec,
        },
        identity::ModuleName,
        task::claim::Claim,
    },
    shepherd::{
        AttemptManifest, LaunchSpec, OUTPUT_STREAMS, Piece, Shepherd, Tail, TreeStats, boot_id, end_lost_command,
        retry_on_shortage,
    },
};

/// Output is read as it comes and need not be kept for long; a burst of this size is read completely.
const OUTPUT: CaptureLimits = CaptureLimits { head: 16 * 1024, tail: 128 * 1024 };
/// Longer lines are cut.
const MAX_LINE: usize = 4 * 1024;
/// How often its memory is measured.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// After this time without output, it is read only as often as memory is measured.
const SILENCE: Duration = Duration::from_secs(3);
/// Maximum duration of a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// What the attempt directory says about a start, for the daemon that finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProgramInfo {
    /// Name of the module.
    pub(super) module: String,
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

/// One of its output streams, on its way to the log.
struct OutputStream {
    tail: Tail,
    lines: Lines,
    is_error: bool,
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
        let streams = OUTPUT_STREAMS.map(|name| OutputStream {
            tail: Tail::new(shepherd.attempt_dir(), name),
            lines: Lines::new(MAX_LINE),
            is_error: name == "stderr",
        });
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

impl OutputStream {
    /// Logs new output line by line; with the captured output of the end, also the rest. True if there was any.
    fn log_new(&mut self, module: &ModuleName, rest: Option<&Kept>) -> io::Result<bool> {
        let (lines, is_error) = (&mut self.lines, self.is_error);
        let log = |line: String| match is_error {
            true => tracing::warn!(%module, "{line}"),
            false => tracing::info!(%module, "{line}"),
        };
        let mut is_new = false;
        let mut sink = |piece: Piece<'_>| {
            is_new = true;
            match piece {
                Piece::Bytes(bytes) => lines.push(bytes).into_iter().for_each(log),
                Piece::LeftOut(count) => {
                    lines.end().into_iter().for_each(log);
                    tracing::warn!(%module, "its program wrote faster than it could be read: {count} bytes are left out");
                }
            }
            Ok(())
        };
        match rest {
            None => self.tail.read(&mut sink)?,
            Some(kept) => {
                self.tail.finish(kept, &mut sink)?;
                self.lines.end().into_iter().for_each(log);
            }
        }
        Ok(is_new)
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
    let mut env = command.passed_on(std::env::vars_os());
    env.extend(command.env.clone());
    let own = [("", module.to_string()), ("_START", start.to_string()), ("_NODE", parts.node.to_string())];
    env.extend(own.map(|(name, value)| (format!("SEXTON_MODULE{name}"), value)));
    LaunchSpec {
        title: match part {
            ProgramRole::Program => format!("sexton: module {module}"),
            ProgramRole::Check => format!("sexton: module {module} (check)"),
        },
        argv: argv.to_vec(),
        env,
        dir: match &command.dir {
            Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
            None => std::env::current_dir().unwrap_or_else(|_| "/".into()),
        },
        limits: command.limits.clone(),
        output: OUTPUT,
        timeout: (part == ProgramRole::Check).then_some(CHECK_TIMEOUT),
        kill_after: process.stop_timeout,
        stop_signal: process.stop_signal,
        keep_background: false,
        ends_with_daemon: true,
        lease: None,
        cgroup: parts.processes.shepherds.cgroup(),
    }
}
