//! Kind `worker`: gives a task to a long-lived process, and waits for its answer.

mod line;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sexton_entities::json_text::JsonText;
use tokio::sync::{Notify, mpsc};

use super::{
    attempt::stop_text,
    context::{StopReason, TaskContext},
    error::TaskError,
    task_handler::TaskHandler,
};
use crate::domain::{
    command::answer::Progress,
    task::{definition::WORKER, verdict::Wish},
    text::json::json_without_nul,
    worker::protocol::TaskAnswer,
};

/// How many messages of a process wait for the thread of their attempt. Progress that finds no room is dropped.
const MESSAGES: usize = 1_024;
/// How long the end of a stopped attempt is waited for beyond its grace time: killing takes a moment.
const KILL_TIME: Duration = Duration::from_secs(15);

/// Executes kind `worker`.
#[derive(Clone, Copy, Debug)]
pub struct WorkerHandler;

/// The tasks that wait for a worker process, by program. Clones share it. Handlers put tasks in, processes take them out.
#[derive(Clone, Default)]
pub struct WorkerLines {
    lines: Arc<Mutex<HashMap<String, Arc<WaitingLine>>>>,
}

/// The tasks that wait for a process of one program.
#[derive(Default)]
pub struct WaitingLine {
    waiting: Mutex<VecDeque<Arc<Assignment>>>,
    news: Notify,
}

/// A task that waits for a worker process, or is with one.
pub struct Assignment {
    /// The number of the task.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The message for the process.
    pub line: Vec<u8>,
    state: AtomicU8,
    stop: Mutex<Option<Duration>>,
    stopped: Notify,
    messages: mpsc::Sender<WorkerMessage>,
}

/// What happens to a task that a worker process has.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerMessage {
    /// The process has it: its time begins.
    Begun,
    /// How far it is.
    Progress(Progress),
    /// A line for the log.
    Log(String),
    /// The process has answered.
    Answered(TaskAnswer),
    /// There is no process for it, for this reason.
    NoProcess(String),
    /// The process has failed, for this reason.
    Crashed(String),
    /// The process was killed because the attempt was stopped.
    Killed,
}

/// States of an assignment.
const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl TaskHandler for WorkerHandler {
    const KIND: &'static str = WORKER;
    const ENDS_BY_ITSELF: bool = true;
    type Payload = JsonText;

    async fn run(&self, payload: JsonText, context: &TaskContext) -> Result<(), TaskError> {
        let Some(program) = &context.definition().worker else {
            return Err(TaskError::discard("the definition names no worker program"));
        };
        let Some(lines) = context.app_data::<WorkerLines>() else {
            return Err(TaskError::new("this program has no worker processes"));
        };
        let line = line::of_task(&payload, context).map_err(TaskError::discard)?;
        let (messages, mut answers) = mpsc::channel(MESSAGES);
        let assignment = Arc::new(Assignment {
            id: context.task_id(),
            name: context.name().to_owned(),
            line,
            state: AtomicU8::new(WAITING),
            stop: Mutex::default(),
            stopped: Notify::new(),
            messages,
        });
        lines.of(program).push(assignment.clone());
        // The attempt may be dropped at any await.
        let withdrawal = Withdrawal(assignment);
        let end = follow(&withdrawal.0, &mut answers, context).await;
        conclude(end, context)
    }
}

/// Withdraws an assignment that nobody waits for any more.
struct Withdrawal(Arc<Assignment>);

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if !self.0.withdraw() {
            self.0.stop(Duration::ZERO);
        }
    }
}

/// Waits for the end of a task: first for a process, then for its answer. The time limit counts from the moment in which
/// a process has the task.
async fn follow(
    assignment: &Assignment,
    answers: &mut mpsc::Receiver<WorkerMessage>,
    context: &TaskContext,
) -> WorkerMessage {
    let limit = context.definition().timeout;
    let mut deadline = std::pin::pin!(tokio::time::sleep(Duration::MAX / 4));
    let (mut has_begun, mut is_stopped) = (false, false);
    loop {
        let message = tokio::select! {
            biased;
            message = answers.recv() => message,
            () = context.cancelled(), if !is_stopped => {
                is_stopped = true;
                if assignment.withdraw() {
                    return WorkerMessage::Killed;
                }
                assignment.stop(context.grace());
                deadline.as_mut().reset(tokio::time::Instant::now() + context.grace() + KILL_TIME);
                continue;
            }
            () = &mut deadline, if has_begun || is_stopped => {
                if is_stopped {
                    return WorkerMessage::Crashed("its worker process does not end although it was killed".to_owned());
                }
                context.stop(StopReason::TimedOut, context.definition().kill_after);
                continue;
            }
        };
        match message {
            Some(WorkerMessage::Begun) => {
                has_begun = limit.is_some();
                if let Some(limit) = limit.filter(|_| !is_stopped) {
                    deadline.as_mut().reset(tokio::time::Instant::now() + limit);
                }
            }
            Some(WorkerMessage::Progress(progress)) => context.progress(progress),
            Some(WorkerMessage::Log(line)) => context.log(line),
            Some(end) => return end,
            None => return WorkerMessage::Crashed("the worker processes of this node were lost".to_owned()),
        }
    }
}

/// What the end of a task means for its attempt.
fn conclude(end: WorkerMessage, context: &TaskContext) -> Result<(), TaskError> {
    let stopped = |error: String| match context.stop_reason() {
        Some(reason) => format!("{}: {error}", stop_text(reason, context)),
        None => error,
    };
    match end {
        WorkerMessage::Answered(TaskAnswer::Done(result)) => {
            context.report(|report| report.result = result.map(json_without_nul));
            Ok(())
        }
        WorkerMessage::Answered(TaskAnswer::Failed { error, discard: true }) => Err(TaskError::discard(error)),
        WorkerMessage::Answered(TaskAnswer::Failed { error, .. }) => Err(TaskError::new(stopped(error))),
        WorkerMessage::Answered(TaskAnswer::Retry { after, error, payload }) => {
            context.report(|report| report.next_payload = payload.map(json_without_nul));
            Err(TaskError::retry_after(after, error.unwrap_or_else(|| "the worker asked to be tried again".to_owned())))
        }
        WorkerMessage::NoProcess(why) => Err(TaskError::new(why)),
        WorkerMessage::Killed => Err(TaskError::new(stopped("its worker process was killed".to_owned()))),
        WorkerMessage::Crashed(why) => Err(TaskError::of_command(stopped(why), Wish::Policy, true)),
        WorkerMessage::Begun | WorkerMessage::Progress(_) | WorkerMessage::Log(_) => {
            Err(TaskError::new("the worker process ended without an answer"))
        }
    }
}

impl WorkerLines {
    /// The tasks that wait for a process of that program.
    pub fn of(&self, program: &str) -> Arc<WaitingLine> {
        self.lines.lock().entry(program.to_owned()).or_default().clone()
    }
}

impl WaitingLine {
    fn push(&self, assignment: Arc<Assignment>) {
        self.waiting.lock().push_back(assignment);
        self.news.notify_one();
    }

    /// Waits for a task, and takes it.
    pub async fn next(&self) -> Arc<Assignment> {
        loop {
            if let Some(assignment) = self.try_next() {
                return assignment;
            }
            self.news.notified().await;
        }
    }

    /// Takes the task that has waited longest, if there is one.
    pub fn try_next(&self) -> Option<Arc<Assignment>> {
        let mut waiting = self.waiting.lock();
        let taken = std::iter::from_fn(|| waiting.pop_front()).find(|assignment| assignment.take());
        if !waiting.is_empty() {
            // One notification is for one task, and another process may be free as well.
            self.news.notify_one();
        }
        taken
    }

    /// Ends every task that waits now, because there is no process for it.
    pub fn refuse_all(&self, why: &str) {
        while let Some(assignment) = self.try_next() {
            assignment.tell(WorkerMessage::NoProcess(why.to_owned()));
        }
    }
}

impl Assignment {
    fn take(&self) -> bool {
        self.state.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Nobody waits for it any more. False if a process has it.
    fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Asks the process to stop working on it, with that grace time. The shortest one counts.
    fn stop(&self, grace: Duration) {
        let mut stop = self.stop.lock();
        *stop = Some(stop.map_or(grace, |known| known.min(grace)));
        drop(stop);
        self.stopped.notify_one();
    }

    /// Waits for the order to stop with a grace time that is shorter than the `known` one, and returns it.
    pub async fn stopping(&self, known: Option<Duration>) -> Duration {
        loop {
            let ordered = *self.stop.lock();
            if let Some(grace) = ordered.filter(|grace| known.is_none_or(|known| *grace < known)) {
                return grace;
            }
            self.stopped.notified().await;
        }
    }

    /// Tells its attempt what has happened. False if that finds no room, or nobody is there any more: then it is dropped.
    pub fn tell(&self, message: WorkerMessage) -> bool {
        self.messages.try_send(message).is_ok()
    }

    /// Tells its attempt how it ended, as soon as there is room.
    pub async fn end(&self, message: WorkerMessage) {
        // Nobody may be there any more.
        let _ = self.messages.send(message).await;
    }
}
