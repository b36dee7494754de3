//! Task definitions: what it means to run a task of a name.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
pub use sexton_client::domain::new_task::check_name;
use sexton_entities::json_text::JsonText;

use super::{
    disabled::{WhenDisabled, refusal},
    limit_key::KeyPath,
    payload_schema::PayloadSchema,
    rate::RateLimit,
    retry::RetryPolicy,
    time_limit::TimeLimit,
};
use crate::domain::{
    command::{CommandSpec, script::ShellScript},
    daemon::lease::OnLeaseLost,
    email::EmailSpec,
    http::HttpSpec,
    identity::QueueName,
    notice::{channel::Secret, rule::NoticeRule},
    schedule::Schedule,
    sql_task::SqlSpec,
    sweep::SweepSpec,
    text::json::nested,
};

/// The kind that executes a program.
pub const COMMAND: &str = "command";
/// The kind that executes a script of the configuration.
pub const SHELL: &str = "shell";
/// The kind that sends a request.
pub const HTTP: &str = "http";
/// The kind that sends a mail.
pub const EMAIL: &str = "email";
/// The kind that is executed by a long-lived process.
pub const WORKER: &str = "worker";
/// The kind that selects rows and makes tasks of them. Its definitions are tables `[sweep.NAME]`.
pub const SWEEP: &str = "sweep";
/// The kind that executes statements of SQL.
pub const SQL: &str = "sql";
/// The kind that does nothing and succeeds.
pub const NOOP: &str = "noop";
/// The queue of tasks whose definition has none.
pub const DEFAULT_QUEUE: &str = "default";

/// A `[task.NAME]` table of the configuration, or a handler that was registered in Rust.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// The name by which tasks refer to it.
    pub name: String,
    /// The kind of the handler that executes it.
    pub kind: String,
    /// The queue of its tasks.
    pub queue: QueueName,
    /// The priority of its tasks; lower goes first.
    pub priority: i32,
    /// The maximum number of its tasks that run at once in the whole cluster; none means no limit. Attempts do not need
    /// it.
    #[serde(skip)]
    pub max_parallel: Option<usize>,
    /// The key to which `max_parallel` applies; none means to all its tasks together. Attempts do not need it.
    #[serde(skip)]
    pub max_parallel_by: Option<KeyPath>,
    /// How many of its attempts may begin in a length of time, in the whole cluster. Attempts do not need it.
    #[serde(skip)]
    pub rate: Option<RateLimit>,
    /// The maximum number of attempts of a task.
    pub max_attempts: i32,
    /// The number of attempts in a row during which a node may die before the task is discarded; none means the limit of
    /// the daemon. Manifests of earlier versions have none.
    #[serde(default)]
    pub max_pickups: Option<i32>,
    /// How often a task may be snoozed before a further snooze counts as a failure; none means no limit.
    #[serde(default)]
    pub max_snoozes: Option<i32>,
    /// The time limit of one attempt; none means the limit of the queue or the daemon, if there is one.
    pub timeout: Option<Duration>,
    /// There is no time limit, whatever the queue and the daemon say. Manifests have the limit that counts.
    #[serde(skip)]
    pub is_unlimited: bool,
    /// How long after its earliest start a task expires that has not begun. Attempts do not need it.
    #[serde(skip)]
    pub expires: Option<Duration>,
    /// A run that takes longer than this is a problem while it still runs. Attempts do not need it.
    #[serde(skip)]
    pub warn_after: Option<Duration>,
    /// The grace time of a stopped attempt, before it is killed or dropped.
    pub kill_after: Duration,
    /// What happens to a running attempt when the node cannot keep its lease; absent, its queue or its limits decide.
    /// Attempts do not need it.
    #[serde(skip)]
    pub on_lease_lost: Option<OnLeaseLost>,
    /// The delays between attempts.
    pub retry: RetryPolicy,
    /// The payload of tasks that a schedule creates.
    #[serde(default, deserialize_with = "nested")]
    pub payload: Option<serde_json::Value>,
    /// Whether a schedule in the database may start it. Attempts do not need it.
    #[serde(skip)]
    pub is_schedulable: bool,
    /// What its payloads must fit. Adopted attempts do not need it.
    #[doc(hidden)]
    #[serde(skip)]
    pub payload_schema: Option<Arc<PayloadSchema>>,
    /// What becomes of its tasks while it is disabled; none if it is enabled. Attempts do not need it.
    #[serde(skip)]
    pub disabled: Option<WhenDisabled>,
    /// When it recurs. Attempts do not need it, and manifests do not contain it.
    #[doc(hidden)]
    #[serde(skip)]
    pub schedule: Option<Arc<Schedule>>,
    /// Where its schedule's runs are reported. Attempts do not need it.
    #[doc(hidden)]
    #[serde(skip)]
    pub ping_url: Option<Secret>,
    /// Whom to tell of its failures. Attempts do not need it.
    #[serde(skip)]
    pub notices: NoticeRule,
    /// The command of kind `command`, or the one that runs the script of kind `shell`.
    #[doc(hidden)]
    pub command: Option<CommandSpec>,
    /// The script of kind `shell`. Attempts do not need it: it is in their command.
    #[doc(hidden)]
    #[serde(skip)]
    pub script: Option<ShellScript>,
    /// The request of kind `http`. It is never adopted, and no manifest contains it.
    #[doc(hidden)]
    #[serde(skip)]
    pub http: Option<Arc<HttpSpec>>,
    /// The mail of kind `email`. It is never adopted, and no manifest contains it.
    #[doc(hidden)]
    #[serde(skip)]
    pub email: Option<Arc<EmailSpec>>,
    /// The worker program of kind `worker`. No process of it is ever adopted, and no manifest contains it.
    #[doc(hidden)]
    #[serde(skip)]
    pub worker: Option<String>,
    /// What kind `sweep` selects. It is never adopted, and no manifest contains it.
    #[doc(hidden)]
    #[serde(skip)]
    pub sweep: Option<Arc<SweepSpec>>,
    /// The statements of kind `sql`. They are never adopted, and no manifest contains them.
    #[doc(hidden)]
    #[serde(skip)]
    pub sql: Option<Arc<SqlSpec>>,
}

impl TaskDefinition {
    /// Its own time limit, if it has one.
    #[doc(hidden)]
    pub fn time_limit(&self) -> Option<TimeLimit> {
        self.timeout.map(TimeLimit::After).or(self.is_unlimited.then_some(TimeLimit::Unlimited))
    }

    /// Whether its attempts are processes under a shepherd of their own.
    #[doc(hidden)]
    pub fn runs_under_shepherd(&self) -> bool {
        matches!(self.kind.as_str(), COMMAND | SHELL)
    }

    /// Checks a new task of it.
    ///
    /// # Errors
    /// If it is disabled and refuses tasks, or the payload does not fit its schema; for people.
    #[doc(hidden)]
    pub fn check_new(&self, payload: Option<&JsonText>) -> Result<(), String> {
        if self.disabled == Some(WhenDisabled::Refuse) {
            return Err(refusal(&self.name));
        }
        self.payload_schema.as_ref().map_or(Ok(()), |schema| schema.check(payload))
    }

    /// A definition with the defaults of the configuration.
    pub fn new(name: &str, kind: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            queue: DEFAULT_QUEUE.into(),
            priority: 0,
            max_parallel: None,
            max_parallel_by: None,
            rate: None,
            max_attempts: 1,
            max_pickups: None,
            max_snoozes: None,
            timeout: None,
            is_unlimited: false,
            expires: None,
            warn_after: None,
            kill_after: Duration::from_secs(5),
            on_lease_lost: None,
            retry: RetryPolicy::default(),
            payload: None,
            is_schedulable: true,
            payload_schema: None,
            disabled: None,
            schedule: None,
            ping_url: None,
            notices: NoticeRule::default(),
            command: None,
            script: None,
            http: None,
            email: None,
            worker: None,
            sweep: None,
            sql: None,
        }
    }
}
