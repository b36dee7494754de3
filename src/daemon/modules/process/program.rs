//! One life of a program: from its start under a shepherd to its end, with what it writes.

use std::{
    io,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{LOOK, stop::StopSequence};
use crate::{
    daemon::module::ModuleContext,
    domain::{
        command::{
            CommandEnd,
            capture::{CaptureLimits, Kept},
            lines::Lines,
            service::ProcessSpec,
        },
        task::claim::Claim,
    },
    shepherd::{
        AttemptManifest, LaunchSpec, OUTPUT_STREAMS, Piece, Shepherd, Tail, TreeStats, boot_id, end_lost_command,
        retry_on_shortage,
    },
};

/// What is followed as it comes need not be kept for long; a burst of so much is heard completely.
const OUTPUT: CaptureLimits = CaptureLimits { head: 16 * 1024, tail: 128 * 1024 };
/// A longer line is cut.
const LONGEST_LINE: usize = 4 * 1024;
/// How often its memory is looked at.
const CENSUS: Duration = Duration::from_secs(1);
/// What has written nothing for so long is listened to no more often than that.
const QUIET: Duration = Duration::from_secs(3);
/// A check that takes longer has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(60);
/// What is written down of a start, for whoever finds it left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProgramInfo {
    /// Of which module.
    pub(super) module: String,
}

/// What is run for a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgramRole {
    /// The program itself.
    Program,
    /// The check before its start.
    Check,
}

/// A program that runs, or has ended and was not yet looked at.
pub(super) struct Program {
    shepherd: Shepherd,
    started: Instant,
    since: DateTime<Utc>,
    voices: [OutputStream; 2],
    census: TreeStats,
    counted: Option<Instant>,
    /// When it was last heard.
    heard: Instant,
}

/// One of its output streams, on its way to the log.
struct OutputStream {
    live: Tail,
    lines: Lines,
    is_error: bool,
}

impl Program {
    pub(super) async fn start(
        context: &ModuleContext,
        process: &ProcessSpec,
        argv: &[String],
        part: ProgramRole,
    ) -> io::Result<Self> {
        let processes = &context.shared().processes;
        let start = processes.next_start();
        let spec = spec(context, process, argv, part, start);
        let paper = AttemptManifest {
            boot_id: boot_id().to_owned(),
            spec,
            about: ProgramInfo { module: context.name().to_owned() },
        };
        let shepherd = processes.shepherds.start(Claim::new(start, 0), &paper, None).await?;
        let voices = OUTPUT_STREAMS.map(|name| OutputStream {
            live: Tail::new(shepherd.attempt_dir(), name),
            lines: Lines::new(LONGEST_LINE),
            is_error: name == "stderr",
        });
        let since = context.clock().now();
        Ok(Self {
            shepherd,
            started: Instant::now(),
            since,
            voices,
            census: TreeStats::default(),
            counted: None,
            heard: Instant::now(),
        })
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> io::Result<()> {
        self.shepherd.ended().await
    }

    /// For how long it has lived.
    pub(super) fn lived(&self) -> Duration {
        self.started.elapsed()
    }

    /// When it was started.
    pub(super) fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// The program's process.
    pub(super) fn pid(&self) -> Option<i32> {
        self.census.command
    }

    /// The resident memory of its whole tree.
    pub(super) fn memory(&self) -> u64 {
        self.census.resident
    }

    /// How long it need not be looked at; its end is noticed at once.
    pub(super) fn pace(&self) -> Duration {
        let is_quiet = self.heard.elapsed() >= QUIET && self.census.command.is_some();
        if is_quiet { CENSUS } else { LOOK }
    }

    /// Hears what is new, and counts its memory if it is time.
    pub(super) fn look(&mut self, module: &str) -> io::Result<()> {
        for voice in &mut self.voices {
            if voice.hear(module, None)? {
                self.heard = Instant::now();
            }
        }
        // Until its process can be seen, it is looked for.
        if self.census.command.is_none() || self.counted.is_none_or(|at| at.elapsed() >= CENSUS) {
            self.census = self.shepherd.tree_stats();
            self.counted = Some(Instant::now());
        }
        Ok(())
    }

    /// Tells it to end, and sees to it that it does; hears its last words.
    pub(super) async fn stop(mut self, context: &ModuleContext, process: &ProcessSpec) -> anyhow::Result<()> {
        let module = context.name();
        let mut order = StopSequence::give(module, &self.shepherd, process.stop_timeout);
        while tokio::time::timeout(LOOK, self.shepherd.ended()).await.is_err() {
            context.progress();
            self.look(module)?;
            if context.shared().processes.is_hurried() {
                order.hurry(module, &self.shepherd);
            }
            anyhow::ensure!(order.press(module, &self.shepherd), "its program does not end, even when it is killed");
        }
        let end = self.settle(context).await?;
        let how = match (&end.signal, end.exit_code) {
            (Some((_, name)), _) => format!(", and has ended by {name}"),
            (None, Some(code)) => format!(", and has ended with exit code {code}"),
            (None, None) => end.failure.map(|failure| format!(": {failure}")).unwrap_or_default(),
        };
        tracing::info!(module, "its program was stopped{how}");
        Ok(())
    }

    /// It has ended: how, once its last words are in the log. Nothing is left of it on disk.
    pub(super) async fn settle(mut self, context: &ModuleContext) -> io::Result<CommandEnd> {
        let folder = self.shepherd.attempt_dir().clone();
        let result = retry_on_shortage(|| folder.result()).await?;
        let end = result.unwrap_or_else(|| end_lost_command(&folder));
        for (voice, kept) in self.voices.iter_mut().zip([&end.stdout, &end.stderr]) {
            voice.hear(context.name(), Some(kept))?;
        }
        folder.remove();
        Ok(end)
    }
}

impl OutputStream {
    /// Passes on what is new, line by line; with what was kept in the end, the rest as well. True if there was
    /// anything.
    fn hear(&mut self, module: &str, rest: Option<&Kept>) -> io::Result<bool> {
        let (lines, is_error) = (&mut self.lines, self.is_error);
        let tell = |line: String| match is_error {
            true => tracing::warn!(module, "{line}"),
            false => tracing::info!(module, "{line}"),
        };
        let mut is_heard = false;
        let mut sink = |piece: Piece<'_>| {
            is_heard = true;
            match piece {
                Piece::Bytes(bytes) => lines.push(bytes).into_iter().for_each(tell),
                Piece::LeftOut(count) => {
                    lines.end().into_iter().for_each(tell);
                    tracing::warn!(module, "it wrote faster than it could be followed: {count} bytes are left out");
                }
            }
            Ok(())
        };
        match rest {
            None => self.live.read(&mut sink)?,
            Some(kept) => {
                self.live.finish(&kept.text, kept.written, &mut sink)?;
                self.lines.end().into_iter().for_each(tell);
            }
        }
        Ok(is_heard)
    }
}

/// Everything that the shepherd needs to know.
fn spec(context: &ModuleContext, process: &ProcessSpec, argv: &[String], part: ProgramRole, start: i64) -> LaunchSpec {
    let shared = context.shared();
    let (command, module) = (&process.command, context.name());
    let mut env = command.passed_on(std::env::vars_os());
    env.extend(command.env.clone());
    let own = [("", module.to_owned()), ("_START", start.to_string()), ("_NODE", shared.node.to_string())];
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
        timeout: (part == ProgramRole::Check).then_some(CHECK_LIMIT),
        kill_after: process.stop_timeout,
        stop_signal: process.stop_signal,
        keep_background: false,
        ends_with_daemon: true,
        cgroup: shared.processes.shepherds.cgroup(),
    }
}
