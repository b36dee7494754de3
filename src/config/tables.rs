//! The configuration: one field for each table.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    daemon::{DaemonConfig, SupervisorConfig},
    database::DatabaseConfig,
    log::LogConfig,
    mistake::{ConfigWarning, Findings},
    module::{self, ModuleConfig},
    period,
    queue::QueueConfig,
    section::Section,
    task,
    tree::TreeNode,
};
use crate::domain::{
    identity::QueueName,
    period::Periods,
    schedule::Schedule,
    task::{
        definition::{DEFAULT_QUEUE, TaskDefinition},
        waiting::LocalRules,
    },
};

/// The names that a configuration may refer to, besides those that it defines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownNames {
    /// Kinds of the registered handlers.
    pub kinds: Vec<String>,
    /// Names of the registered daemon modules.
    pub modules: Vec<String>,
}

/// The whole configuration. The defaults suit a production server.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[database]`.
    pub database: DatabaseConfig,
    /// `[daemon]`.
    pub daemon: DaemonConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[supervisor]`.
    pub supervisor: SupervisorConfig,
    /// `[period.NAME]`.
    pub periods: Periods,
    /// `[queue.NAME]`: the queues that this node works on. `default` is always present.
    pub queues: BTreeMap<QueueName, QueueConfig>,
    /// `[module.NAME]`: settings of built-in modules, and process modules.
    pub modules: BTreeMap<String, ModuleConfig>,
    /// `[task.NAME]`.
    pub tasks: BTreeMap<String, Arc<TaskDefinition>>,
    /// Settings that work, but should be written differently.
    pub warnings: Vec<ConfigWarning>,
}

impl Config {
    /// The defaults for a database, without any task definition.
    pub fn default_for(url: &str) -> Self {
        let mut findings = Findings::default();
        let config = Self::read(&TreeNode::empty(), &KnownNames::default(), &mut findings);
        Self { database: DatabaseConfig { url: url.to_owned(), ..config.database }, ..config }
    }

    /// Reads the merged settings.
    pub(super) fn read(root: &TreeNode, known: &KnownNames, findings: &mut Findings) -> Self {
        let mut top = Section::new("", root, findings);
        let database = top.table("database", DatabaseConfig::read).unwrap_or_default();
        let daemon = top.table("daemon", DaemonConfig::read).unwrap_or_default();
        let log = top.table("log", LogConfig::read).unwrap_or_default();
        let supervisor = top.table("supervisor", SupervisorConfig::read).unwrap_or_default();
        let periods = top.tables("period", |name, table| period::read(name, table, daemon.zone()));
        let periods = period::join(periods, top.findings);
        let queues = top.tables("queue", |_, table| QueueConfig::read(table, &periods));
        let mut queues: BTreeMap<QueueName, QueueConfig> =
            queues.into_iter().map(|(name, queue)| (name.into(), queue)).collect();
        queues.entry(DEFAULT_QUEUE.into()).or_insert(QueueConfig::of(daemon.workers));
        let tasks =
            top.tables("task", |name, table| Arc::new(task::read(name, table, &daemon, &periods, &known.kinds)));
        let modules = top.tables("module", |name, table| module::read(name, table, &known.modules));
        top.finish();
        for definition in tasks.values() {
            queues.entry(definition.queue.clone()).or_insert(QueueConfig::of(daemon.workers));
        }
        Self { database, daemon, log, supervisor, periods, queues, modules, tasks, warnings: findings.take_warnings() }
    }

    /// The schedules of all task definitions.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.tasks.values().filter_map(|task| task.schedule.as_deref())
    }

    /// What holds back the tasks of a queue by this configuration.
    pub fn rules_of(&self, queue: &str, now: DateTime<Utc>) -> LocalRules {
        let Some(settings) = self.queues.get(queue) else { return LocalRules::default() };
        let period = settings.period.as_ref().and_then(|name| self.periods.get(name));
        let closed = period.and_then(|period| period.outside_in_words(now));
        LocalRules { closed, limit: settings.limit, max_parallel: None }
    }

    /// The settings of a daemon module; the defaults if the configuration does not mention it.
    pub fn module(&self, name: &str) -> ModuleConfig {
        self.modules.get(name).cloned().unwrap_or_default()
    }

    /// The calendar files that were read.
    pub fn calendars(&self) -> impl Iterator<Item = &Path> {
        let calendars = self.periods.0.values().flat_map(|period| period.calendars());
        calendars.map(|calendar| Path::new(&calendar.file))
    }
}
