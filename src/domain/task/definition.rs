//! What running a task means.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::retry::RetryPolicy;
use crate::domain::{command::CommandSpec, identity::QueueName, schedule::Schedule};

/// The kind that executes a program.
pub const COMMAND: &str = "command";
/// The kind that does nothing, at once.
pub const NOOP: &str = "noop";
/// The queue of tasks whose definition names none.
pub const DEFAULT_QUEUE: &str = "default";

/// A `[task.NAME]` table of the configuration, or a handler that was registered in Rust.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// The name by which tasks refer to it.
    pub name: String,
    /// How it is executed: the kind of a registered handler.
    pub kind: String,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// The priority of its tasks; lower goes first.
    pub priority: i32,
    /// How many of its tasks run at once in the whole cluster; none means as many as there are workers. Of no account
    /// to an attempt.
    #[serde(skip)]
    pub max_parallel: Option<usize>,
    /// How many attempts a task has.
    pub max_attempts: i32,
    /// How long one attempt may take; none means as long as it likes.
    pub timeout: Option<Duration>,
    /// How long a stopped attempt has to end by itself before it is ended.
    pub kill_after: Duration,
    /// The delays between attempts.
    pub retry: RetryPolicy,
    /// The payload of tasks that a schedule creates.
    pub payload: Option<serde_json::Value>,
    /// When it recurs by itself. Of no account to an attempt, and not written down with one.
    #[serde(skip)]
    pub schedule: Option<Arc<Schedule>>,
    /// What kind `command` executes.
    pub command: Option<CommandSpec>,
}

impl TaskDefinition {
    /// A definition with the defaults of the configuration.
    pub fn new(name: &str, kind: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            queue: DEFAULT_QUEUE.into(),
            priority: 0,
            max_parallel: None,
            max_attempts: 1,
            timeout: None,
            kill_after: Duration::from_secs(5),
            retry: RetryPolicy::default(),
            payload: None,
            schedule: None,
            command: None,
        }
    }
}

/// A name that may stand for a task, a queue or a schedule: it is shown in tables, and typed into shells.
pub fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    match name.chars().find(|c| !allowed(*c)) {
        _ if name.is_empty() => Err("a name must not be empty".to_owned()),
        _ if name.len() > 100 => Err(format!("`{name}` is longer than 100 bytes")),
        Some(found) => Err(format!("`{name}` contains {found:?}: names are letters, digits and - _ . : /")),
        None => Ok(()),
    }
}
