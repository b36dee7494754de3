//! Every message between actors, on one page.
//!
//! All of them are sent by `try_send`, over addresses that live as long as the receiver. No message carries anything that
//! must not be lost: tasks are rows in the database and entries of [`super::inflight`], and a task on its way to a worker
//! gives itself back.

use std::sync::Arc;

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use super::stop_stage::Stage;
use crate::domain::{identity::ModuleName, task::ClaimedTask};

/// To the supervisor: an incarnation of a module has ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct ModuleExited {
    pub(super) module: ModuleName,
    /// Number of the incarnation, from 1.
    pub(super) generation: u64,
    pub(super) exit: Exit,
}

/// How an incarnation of a module ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It was asked to stop.
    Stopped,
    /// It asked to be replaced by a fresh one, or its time was over.
    Recycled,
    /// Its `pre_run`, `run`, `post_run` or `end` returned this error.
    Failed(String),
    /// It panicked with this message.
    Panicked(String),
    /// It made no progress within `supervisor.hang_timeout`.
    Hung,
}

/// To the supervisor: an incarnation of a module runs.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ModuleStarted {
    pub(super) module: ModuleName,
    /// Number of the incarnation, from 1.
    pub(super) generation: u64,
    /// Where it answers pings.
    pub(super) address: Recipient<Ping>,
}

/// To the supervisor: stop the modules of this stage.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct StopStage(pub(super) Stage);

/// To the supervisor: another configuration is in force.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct Reconfigure;

/// To the supervisor: replace this module by a fresh one.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct RestartModule {
    pub(super) name: String,
    /// Receives the answer: an error says why the module cannot be restarted.
    pub(super) reply: oneshot::Sender<Result<(), String>>,
}

/// To a module: answer, as a sign of life.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(super) struct Ping;

/// To a module or a pool: there is a reason for another round. [`super::state::wakers::Waker`] holds the reasons.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct WakeUp;

/// To a pool: have this number of workers.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub(super) struct Resize(pub(super) usize);

/// To a worker: make one attempt at this task. A worker holds one task at a time. A message that is dropped unhandled,
/// because its worker has ended, gives the task back.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Execute {
    task: Option<ClaimedTask>,
    give_back: GiveBack,
}

/// Makes a task wait again that no worker took.
pub(super) type GiveBack = Arc<dyn Fn(ClaimedTask) + Send + Sync>;

impl Execute {
    /// The message for that task.
    pub(super) fn new(task: ClaimedTask, give_back: &GiveBack) -> Self {
        Self { task: Some(task), give_back: give_back.clone() }
    }

    /// Takes the task: from now on the worker is responsible for it.
    pub(super) fn take(mut self) -> Option<ClaimedTask> {
        self.task.take()
    }
}

impl Drop for Execute {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            (self.give_back)(task);
        }
    }
}
