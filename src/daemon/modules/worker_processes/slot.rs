//! One place for a worker process: keeps one process after the other, and gives them tasks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    parts::WorkerParts,
    process::{ProcessEnd, WorkerProcess},
};
use crate::{
    daemon::state::worker_board::{Doing, SlotState},
    domain::{text::duration, worker::WorkerSpec},
    handler::{Assignment, WaitingLine, WorkerMessage},
};

/// How often the memory of a process is measured, with a limit and without one: that looks at every process of the machine.
const MEASURE_INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];

/// One place for a worker process.
pub(super) struct Slot {
    pub(super) program: String,
    /// Unique in this daemon.
    pub(super) number: u64,
    pub(super) spec: Arc<WorkerSpec>,
    pub(super) parts: WorkerParts,
    pub(super) line: Arc<WaitingLine>,
    /// Cancelled when the present task is to be the last one.
    pub(super) retired: CancellationToken,
}

/// A task that a process has. If its place is lost, its attempt learns of it.
struct Held(Option<Arc<Assignment>>);

impl Slot {
    /// Keeps processes until the place is retired.
    pub(super) async fn keep(self) {
        let mut failures = 0;
        while !self.retired.is_cancelled() {
            self.note(|slot| {
                slot.doing = Doing::Starting;
                slot.pid = None;
                slot.tasks = 0;
                slot.memory = 0;
                slot.since = Instant::now();
            });
            let (end, has_started, executed) =
                match WorkerProcess::start(&self.program, &self.spec, &self.parts, &self.retired).await {
                    Ok(process) => {
                        let (end, executed) = self.serve(process, &mut failures).await;
                        (end, true, executed)
                    }
                    Err(end) => (Some(end), false, 0),
                };
            // What this machine lacks is no fault of the tasks, and neither is what another task has done: they wait.
            let is_of_program = !has_started && matches!(end, Some(ProcessEnd::Failed(_)));
            let Some(ProcessEnd::Failed(why) | ProcessEnd::Unavailable(why)) = end else { continue };
            failures = if executed > 0 { 1 } else { failures + 1 };
            let delay = self.spec.delay_after(failures);
            let wait = duration::text(delay);
            tracing::error!("worker {}: a process {why}; the next one starts in {wait}", self.program);
            self.note(|slot| {
                slot.doing = Doing::Waiting(Instant::now() + delay);
                slot.failures = failures;
                slot.last_end = Some(why.clone());
                slot.pid = None;
            });
            if is_of_program && self.parts.board.ready(&self.program) == 0 {
                let program = &self.program;
                self.line.refuse_all(&format!("worker program {program} has no process that works: one {why}"));
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.retired.cancelled() => {}
            }
        }
    }

    /// Gives tasks to a process until it has ended. Returns why, and how many it has executed.
    async fn serve(&self, mut process: WorkerProcess, failures: &mut u32) -> (Option<ProcessEnd>, u64) {
        let mut measured = Instant::now();
        let (pid, memory) = process.measure();
        let mut memory = memory;
        self.note(|slot| {
            slot.pid = pid;
            slot.memory = memory;
        });
        loop {
            if measured.elapsed() >= MEASURE_INTERVALS[usize::from(self.spec.max_memory.is_none())] {
                measured = Instant::now();
                let (pid, size) = process.measure();
                memory = size;
                self.note(|slot| {
                    slot.pid = pid;
                    slot.memory = size;
                });
            }
            if *failures > 0 && (process.tasks() > 0 || process.age() >= self.spec.max_restart_delay) {
                *failures = 0;
            }
            self.note(|slot| {
                slot.doing = Doing::Idle;
                slot.tasks = process.tasks();
                slot.failures = *failures;
            });
            if let Some(why) = self.spec.recycle(process.tasks(), process.age(), memory) {
                tracing::info!("worker {}: replacing a process: {why}", self.program);
                self.note(|slot| {
                    slot.doing = Doing::Ending;
                    slot.last_end = Some(format!("replaced: {why}"));
                });
                let executed = process.tasks();
                process.retire().await;
                return (None, executed);
            }
            let task = tokio::select! {
                biased;
                () = self.retired.cancelled() => {
                    self.note(|slot| slot.doing = Doing::Ending);
                    process.retire().await;
                    return (None, 1);
                }
                task = self.line.next() => Held(Some(task)),
                idle = process.idle() => match idle {
                    Ok(()) => continue,
                    Err(end) => return self.over(process, end, Held(None)).await,
                },
            };
            let Some(given) = &task.0 else { continue };
            if let Some(why) = process.refusal(&given.name) {
                given.end(WorkerMessage::NoProcess(why)).await;
                continue;
            }
            self.note(|slot| slot.doing = Doing::Task(given.id));
            if let Err(end) = process.execute(given).await {
                return self.over(process, end, task).await;
            }
        }
    }

    /// A process is of no use any more. Its task, if it has one, learns of it when nothing of the process is left.
    async fn over(&self, process: WorkerProcess, end: ProcessEnd, task: Held) -> (Option<ProcessEnd>, u64) {
        let executed = process.tasks();
        self.note(|slot| slot.doing = Doing::Ending);
        let end = process.end(end, Duration::ZERO).await;
        if let Some(task) = &task.0 {
            task.end(match &end {
                ProcessEnd::Failed(why) | ProcessEnd::Unavailable(why) => {
                    WorkerMessage::Crashed(format!("its worker process {why}"))
                }
                ProcessEnd::Stopped | ProcessEnd::Left => WorkerMessage::Killed,
            })
            .await;
        }
        match &end {
            ProcessEnd::Stopped => {
                tracing::info!("worker {}: a process was killed, because its task was stopped", self.program);
                self.note(|slot| slot.last_end = Some("killed, because its task was stopped".to_owned()));
            }
            ProcessEnd::Left => self.note(|slot| slot.last_end = Some("ended by itself".to_owned())),
            ProcessEnd::Failed(_) | ProcessEnd::Unavailable(_) => {}
        }
        (Some(end), executed)
    }

    fn note(&self, change: impl FnOnce(&mut SlotState)) {
        self.parts.board.update(&self.program, self.number, change);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.parts.board.remove(&self.program, self.number);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // After its end, nobody listens any more.
        if let Some(task) = &self.0 {
            task.tell(WorkerMessage::Crashed("its worker process was lost, because the module of it ended".to_owned()));
        }
    }
}
