//! The configuration: one field for each table.

use std::{collections::BTreeMap, path::Path, sync::Arc};

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
    period::Periods,
    schedule::Schedule,
    task::definition::{DEFAULT_QUEUE, TaskDefinition},
};

/// What there is to be configured, beside what the house knows by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownNames {
    /// The kinds of the registered handlers.
    pub kinds: Vec<String>,
    /// The names of the registered daemon modules.
    pub modules: Vec<String>,
}

/// Everything that is configured. The defaults are the tuned settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the tables are.
    pub database: DatabaseConfig,
    /// How the daemon behaves.
    pub daemon: DaemonConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// When fallen modules are started again.
    pub supervisor: SupervisorConfig,
    /// When things may happen, by name.
    pub periods: Periods,
    /// The queues that this node works on. `default` is always among them.
    pub queues: BTreeMap<String, QueueConfig>,
    /// Daemon modules, and the programs that are kept running as such.
    pub modules: BTreeMap<String, ModuleConfig>,
    /// What can be run.
    pub tasks: BTreeMap<String, Arc<TaskDefinition>>,
    /// Settings that work, but should be written differently.
    pub warnings: Vec<ConfigWarning>,
}

impl Config {
    /// The defaults, without any task definition.
    pub fn default_for(url: &str) -> Self {
        let mut findings = Findings::default();
        let config = Self::read(&TreeNode::empty(), &KnownNames::default(), &mut findings);
        Self { database: DatabaseConfig { url: url.to_owned(), ..config.database }, ..config }
    }

    /// Reads what the files say, and notes what is wrong with it.
    pub(super) fn read(root: &TreeNode, known: &KnownNames, findings: &mut Findings) -> Self {
        let mut top = Section::new("", root, findings);
        let database = top.table("database", DatabaseConfig::read).unwrap_or_default();
        let daemon = top.table("daemon", DaemonConfig::read).unwrap_or_default();
        let log = top.table("log", LogConfig::read).unwrap_or_default();
        let supervisor = top.table("supervisor", SupervisorConfig::read).unwrap_or_default();
        let periods = top.tables("period", |name, table| period::read(name, table, daemon.timezone));
        let periods = period::join(periods, top.findings);
        let mut queues = top.tables("queue", |_, table| QueueConfig::read(table, &periods));
        queues.entry(DEFAULT_QUEUE.to_owned()).or_insert(QueueConfig::of(daemon.workers));
        let tasks = top
            .tables("task", |name, table| Arc::new(task::read(name, table, daemon.timezone, &periods, &known.kinds)));
        let modules = top.tables("module", |name, table| module::read(name, table, &known.modules));
        top.finish();
        for definition in tasks.values() {
            queues.entry(definition.queue.clone()).or_insert(QueueConfig::of(daemon.workers));
        }
        Self { database, daemon, log, supervisor, periods, queues, modules, tasks, warnings: findings.take_warnings() }
    }

    /// What recurs by itself.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.tasks.values().filter_map(|task| task.schedule.as_deref())
    }

    /// What is configured of a daemon module.
    pub fn module(&self, name: &str) -> ModuleConfig {
        self.modules.get(name).cloned().unwrap_or_default()
    }

    /// The files of calendars that it was read from.
    pub fn calendars(&self) -> impl Iterator<Item = &Path> {
        let calendars = self.periods.0.values().flat_map(|period| period.calendars());
        calendars.map(|calendar| Path::new(&calendar.file))
    }
}
