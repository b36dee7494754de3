//! Every message between actors, on one page.

use actix::{Addr, Message};

use super::{module_actor::ModuleActor, supervisor::Supervisor};
use crate::{daemon::module::Stage, domain::task::ClaimedTask};

/// To the supervisor: an incarnation of a module has ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(in crate::daemon) struct ModuleExited {
    /// Which module.
    pub module: String,
    /// Which of its incarnations.
    pub generation: u64,
    /// In what way.
    pub how: Exit,
}

/// In what way a module ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Exit {
    /// It was told to stop.
    Stopped,
    /// It wished to be replaced.
    Discarded,
    /// It failed.
    Failed(String),
    /// It panicked.
    Panicked(String),
    /// It made no progress.
    Hung,
}

/// To the supervisor: an incarnation is up.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::daemon) struct ModuleStarted {
    /// Which module.
    pub module: String,
    /// Which of its incarnations.
    pub generation: u64,
    /// Where it is reached.
    pub address: Addr<ModuleActor>,
}

/// To the supervisor: let the modules of this stage end.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(in crate::daemon) struct StopStage(pub Stage);

/// To the supervisor: another configuration is in force.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(in crate::daemon) struct Reconfigure;

/// To the supervisor: replace this module by a fresh one, in good order. The error says why it cannot be.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), String>")]
pub(in crate::daemon) struct RestartModule {
    /// Which module.
    pub name: String,
}

/// To a module: do you live?
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(in crate::daemon) struct Ping;

/// To a worker: do this. A worker is sent one task at a time, over the one address that its pool holds.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::daemon) struct Assign(pub ClaimedTask);

/// The supervisor's address.
pub(in crate::daemon) type SupervisorAddr = Addr<Supervisor>;
