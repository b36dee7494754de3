//! One worker process: its start, its tasks one after the other, and its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{parts::WorkerParts, wire::Wire};
use crate::{
    daemon::modules::process_module::{OutputStream, ProgramInfo, StopSequence, environment},
    domain::{
        command::{CommandEnd, capture::CaptureLimits, service::StopSignal},
        identity::ModuleName,
        task::claim::Claim,
        text::duration,
        worker::{
            WorkerSpec,
            protocol::{FromWorker, ToWorker, quoted},
        },
    },
    handler::{Assignment, WorkerMessage},
    shepherd::{AttemptManifest, LaunchSpec, OUTPUT_STREAMS, Shepherd, boot_id, end_lost_command, retry_on_shortage},
};

/// Output is read as it comes and need not be kept for long.
const OUTPUT: CaptureLimits = CaptureLimits { head: 16 * 1024, tail: 64 * 1024 };
/// How often output is logged and the limits of a process are checked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a process that is to end is looked at.
const PRESS_INTERVAL: Duration = Duration::from_millis(100);
/// What a process has after the end of its input and `stop_timeout`, between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(1);

/// A worker process.
pub(super) struct WorkerProcess {
    program: ModuleName,
    spec: Arc<WorkerSpec>,
    shepherd: Shepherd,
    wire: Wire,
    /// The tasks that it executes; empty for all.
    names: Vec<String>,
    streams: [OutputStream; 2],
    started: Instant,
    tasks: u64,
    ticks: Interval,
    /// When it was asked whether it is there, or when it last showed that it is.
    asked: Option<Instant>,
    heard: Instant,
}

/// Why a process has no further task.
#[derive(Debug)]
pub(super) enum ProcessEnd {
    /// It has ended, or is to be ended because it is of no use any more.
    Failed(String),
    /// This machine has no disk space, process, memory or descriptor for it at present.
    Unavailable(String),
    /// Its task was stopped, and it did not end that by itself.
    Stopped,
    /// It ended by itself without a failure, while it had no task.
    Left,
}

impl WorkerProcess {
    /// Starts a process, and waits for its hello.
    ///
    /// # Errors
    /// Why there is no process that can work. Nothing of it is left then.
    pub(super) async fn start(
        name: &str,
        spec: &Arc<WorkerSpec>,
        parts: &WorkerParts,
        retired: &CancellationToken,
    ) -> Result<Self, ProcessEnd> {
        let program = ModuleName::from(format!("worker.{name}"));
        let start = parts.processes.next_start();
        let about = ProgramInfo { module: program.to_string() };
        let manifest = AttemptManifest {
            boot_id: boot_id().to_owned(),
            spec: launch_spec(name, &program, spec, parts, start),
            about,
        };
        let begun = parts.processes.shepherds.start_worker(Claim::new(start, 0), &manifest).await;
        let (shepherd, pipes) = begun
            .map_err(|error| ProcessEnd::Unavailable(format!("cannot start {}: {error}", spec.command.argv[0])))?;
        let streams = OUTPUT_STREAMS.map(|stream| OutputStream::new(shepherd.attempt_dir(), stream));
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut process = Self {
            program,
            spec: spec.clone(),
            shepherd,
            wire: Wire::new(pipes),
            names: Vec::new(),
            streams,
            started: Instant::now(),
            tasks: 0,
            ticks,
            asked: None,
            heard: Instant::now(),
        };
        match process.hello(retired).await {
            Ok(()) => Ok(process),
            Err(end) => Err(process.end(end, Duration::ZERO).await),
        }
    }

    async fn hello(&mut self, retired: &CancellationToken) -> Result<(), ProcessEnd> {
        let mut late = std::pin::pin!(sleep(self.spec.start_timeout));
        loop {
            let line = tokio::select! {
                biased;
                () = retired.cancelled() => return Err(ProcessEnd::Stopped),
                line = self.wire.next() => line.map_err(ProcessEnd::Failed)?,
                _ = self.shepherd.ended() => return Err(ProcessEnd::Failed(String::new())),
                () = &mut late => {
                    let limit = duration::text(self.spec.start_timeout);
                    return Err(ProcessEnd::Failed(format!("said no hello within {limit} (start_timeout)")));
                }
                _ = self.ticks.tick() => {
                    self.log_output();
                    continue;
                }
            };
            match FromWorker::read(&line) {
                Ok(FromWorker::Hello { names }) => {
                    self.names = names;
                    self.heard = Instant::now();
                    return Ok(());
                }
                Ok(_) => {
                    return Err(ProcessEnd::Failed(format!(
                        "began with another message than hello: {}",
                        quoted(&line)
                    )));
                }
                Err(why) => return Err(ProcessEnd::Failed(why)),
            }
        }
    }

    /// Why it does not execute tasks of that name; none if it does.
    pub(super) fn refusal(&self, name: &str) -> Option<String> {
        let is_served = self.names.is_empty() || self.names.iter().any(|served| served == name);
        let (program, served) = (self.program.trim_start_matches("worker."), self.names.join(", "));
        (!is_served).then(|| format!("worker program {program} does not serve task {name}; it serves {served}"))
    }

    /// How many tasks it has executed.
    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// For how long it has run.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Its process number and the memory of its process tree.
    pub(super) fn measure(&self) -> (Option<i32>, u64) {
        let stats = self.shepherd.tree_stats();
        (stats.command, stats.resident)
    }

    /// Waits while it has no task. Returns now and then, for its limits to be checked.
    ///
    /// # Errors
    /// If it is of no use any more.
    pub(super) async fn idle(&mut self) -> Result<(), ProcessEnd> {
        tokio::select! {
            biased;
            line = self.wire.next() => {
                let line = line.map_err(ProcessEnd::Failed)?;
                match FromWorker::read(&line).map_err(ProcessEnd::Failed)? {
                    FromWorker::Pong => {
                        self.asked = None;
                        self.heard = Instant::now();
                    }
                    // A message about a task may come after its end.
                    FromWorker::Progress(..) | FromWorker::Log(..) => self.wire.count_message().map_err(ProcessEnd::Failed)?,
                    FromWorker::Hello { .. } => return Err(ProcessEnd::Failed("said hello twice".to_owned())),
                    FromWorker::End(id, _) => return Err(ProcessEnd::Failed(stranger(id))),
                }
            }
            _ = self.shepherd.ended() => return Err(ProcessEnd::Left),
            _ = self.ticks.tick() => {
                self.log_output();
                self.ask()?;
            }
        }
        Ok(())
    }

    /// Asks a silent process whether it is there.
    fn ask(&mut self) -> Result<(), ProcessEnd> {
        match self.asked {
            Some(asked) if asked.elapsed() >= self.spec.ping_timeout() => {
                let what = if self.wire.is_behind() { "does not read" } else { "does not answer a ping" };
                return Err(ProcessEnd::Failed(what.to_owned()));
            }
            None if self.heard.elapsed() >= self.spec.ping_interval => {
                self.asked = Some(Instant::now());
                self.send(&ToWorker::Ping);
            }
            _ => {}
        }
        Ok(())
    }

    fn send(&mut self, message: &ToWorker<'_>) {
        if let Ok(line) = message.line() {
            self.wire.send(&line);
        }
    }

    /// Has it execute a task. The attempt learns of its end, whatever happens, from here or from [`WorkerProcess::end`].
    ///
    /// # Errors
    /// If the process is of no use any more.
    pub(super) async fn execute(&mut self, task: &Assignment) -> Result<(), ProcessEnd> {
        self.wire.send(&task.line);
        task.tell(WorkerMessage::Begun);
        let mut grace = None;
        let mut kill_at = tokio::time::Instant::now();
        loop {
            let line = tokio::select! {
                biased;
                shorter = task.stopping(grace) => {
                    if grace.is_none() {
                        let grace_ms = u64::try_from(shorter.as_millis()).unwrap_or(u64::MAX);
                        self.send(&ToWorker::Cancel { id: task.id, grace_ms });
                    }
                    grace = Some(shorter);
                    kill_at = tokio::time::Instant::now() + shorter;
                    continue;
                }
                () = sleep_until(kill_at), if grace.is_some() => return Err(ProcessEnd::Stopped),
                line = self.wire.next() => line.map_err(ProcessEnd::Failed)?,
                _ = self.shepherd.ended() => match self.wire.rest() {
                    Some(line) => line,
                    None => return Err(ProcessEnd::Failed(String::new())),
                },
                _ = self.ticks.tick() => {
                    self.log_output();
                    continue;
                }
            };
            match FromWorker::read(&line).map_err(ProcessEnd::Failed)? {
                FromWorker::End(id, answer) if id == task.id => {
                    self.tasks += 1;
                    self.asked = None;
                    self.heard = Instant::now();
                    task.end(WorkerMessage::Answered(answer)).await;
                    return Ok(());
                }
                FromWorker::Progress(id, progress) => {
                    self.wire.count_message().map_err(ProcessEnd::Failed)?;
                    if id == task.id {
                        task.tell(WorkerMessage::Progress(progress));
                    }
                }
                FromWorker::Log(id, line) => {
                    self.wire.count_message().map_err(ProcessEnd::Failed)?;
                    if id == task.id {
                        task.tell(WorkerMessage::Log(line));
                    }
                }
                FromWorker::Pong => self.wire.count_message().map_err(ProcessEnd::Failed)?,
                FromWorker::Hello { .. } => return Err(ProcessEnd::Failed("said hello twice".to_owned())),
                FromWorker::End(id, _) => return Err(ProcessEnd::Failed(stranger(id))),
            }
        }
    }

    fn log_output(&mut self) {
        for stream in &mut self.streams {
            // What cannot be read now is read with the end.
            let _ = stream.log_new(&self.program, None);
        }
    }

    /// Ends it by the end of its input, and by force if it does not follow. Logs its last output.
    pub(super) async fn retire(mut self) {
        self.wire.close();
        let _ = timeout(self.spec.stop_timeout, self.shepherd.ended()).await;
        self.end(ProcessEnd::Stopped, KILL_AFTER).await;
    }

    /// Ends it within that grace time, with all its processes, and logs its last output. Returns why there is no process
    /// any more: the reason that is known now.
    pub(super) async fn end(mut self, why: ProcessEnd, grace: Duration) -> ProcessEnd {
        let has_ended = timeout(Duration::ZERO, self.shepherd.ended()).await.is_ok();
        if !has_ended {
            let mut stop = StopSequence::begin(&self.program, &self.shepherd, grace);
            while timeout(PRESS_INTERVAL, self.shepherd.ended()).await.is_err() {
                if !stop.press(&self.program, &self.shepherd) {
                    return ProcessEnd::Failed("its process does not end although it was killed".to_owned());
                }
            }
        }
        let dir = self.shepherd.attempt_dir().clone();
        let result = retry_on_shortage(|| dir.result()).await.ok().flatten();
        let end = result.unwrap_or_else(|| end_lost_command(&dir));
        for (stream, kept) in self.streams.iter_mut().zip([&end.stdout, &end.stderr]) {
            let _ = stream.log_new(&self.program, Some(kept));
        }
        dir.remove();
        match why {
            ProcessEnd::Failed(reason) if reason.is_empty() && end.is_shortage => {
                ProcessEnd::Unavailable(how(&end, &self.spec))
            }
            ProcessEnd::Failed(reason) if reason.is_empty() => ProcessEnd::Failed(how(&end, &self.spec)),
            ProcessEnd::Left if self.tasks > 0 && end.exit_code == Some(0) => ProcessEnd::Left,
            ProcessEnd::Left => ProcessEnd::Failed(how(&end, &self.spec)),
            other => other,
        }
    }
}

/// How a process ended by itself.
fn how(end: &CommandEnd, spec: &WorkerSpec) -> String {
    match end.judge(&spec.command) {
        Ok(()) => "ended with exit code 0".to_owned(),
        Err(failure) if end.failure.is_some() => failure.error,
        Err(failure) => format!("died: {}", failure.error),
    }
}

fn stranger(id: i64) -> String {
    format!("answered for task {id}, which it does not have")
}

/// What the shepherd starts.
fn launch_spec(name: &str, program: &ModuleName, spec: &WorkerSpec, parts: &WorkerParts, start: i64) -> LaunchSpec {
    let command = &spec.command;
    let mut env = environment(command, program, &parts.node, start);
    env.push(("SEXTON_WORKER".to_owned(), name.to_owned()));
    LaunchSpec {
        title: format!("sexton: worker {name}"),
        argv: command.argv.clone(),
        env,
        dir: LaunchSpec::dir_of(command),
        limits: command.limits.clone(),
        output: OUTPUT,
        timeout: None,
        kill_after: KILL_AFTER,
        stop_signal: StopSignal::default(),
        keep_background: false,
        uses_pipes: true,
        ends_with_daemon: true,
        lease: None,
        cgroup: parts.processes.shepherds.cgroup(),
    }
}
