//! The configuration: one field for each table.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    daemon::{DaemonConfig, SupervisorConfig},
    database::DatabaseConfig,
    log::LogConfig,
    metrics::MetricsConfig,
    mistake::{ConfigWarning, Findings},
    module::{self, ModuleConfig},
    notify, period,
    queue::QueueConfig,
    section::Section,
    task,
    tree::TreeNode,
};
use crate::domain::{
    identity::QueueName,
    notice::{
        MailOutput, NoticeRule,
        channel::{Channel, Means},
    },
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
    /// `[metrics]`.
    pub metrics: MetricsConfig,
    /// `[supervisor]`.
    pub supervisor: SupervisorConfig,
    /// `[period.NAME]`.
    pub periods: Periods,
    /// `[queue.NAME]`: the queues that this node works on. `default` is always present.
    pub queues: BTreeMap<QueueName, QueueConfig>,
    /// `[module.NAME]`: settings of built-in modules, and process modules.
    pub modules: BTreeMap<String, ModuleConfig>,
    /// `[notify.NAME]`: the channels of notices.
    pub channels: BTreeMap<String, Channel>,
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
        let channels = top.names("notify");
        let daemon = top.table("daemon", |table| DaemonConfig::read(table, &channels)).unwrap_or_default();
        let log = top.table("log", LogConfig::read).unwrap_or_default();
        let metrics = top.table("metrics", MetricsConfig::read).unwrap_or_default();
        let supervisor = top.table("supervisor", SupervisorConfig::read).unwrap_or_default();
        let periods = top.tables("period", |name, table| period::read(name, table, daemon.zone()));
        let periods = period::join(periods, top.findings);
        let ways = top.tables("notify", |_, table| notify::read(table, &periods));
        let queues = top.tables("queue", |_, table| QueueConfig::read(table, &periods, &channels));
        let mut queues: BTreeMap<QueueName, QueueConfig> =
            queues.into_iter().map(|(name, queue)| (name.into(), queue)).collect();
        queues.entry(DEFAULT_QUEUE.into()).or_insert(QueueConfig::of(daemon.workers));
        let tasks = top.tables("task", |name, table| {
            let notices = notify::rule(table, &channels);
            let definition = task::read(name, table, &daemon, &periods, &known.kinds);
            Arc::new(TaskDefinition { notices, ..definition })
        });
        let modules = top.tables("module", |name, table| module::read(name, table, &known.modules));
        top.finish();
        for definition in tasks.values() {
            queues.entry(definition.queue.clone()).or_insert(QueueConfig::of(daemon.workers));
        }
        let channels = ways.into_iter().filter_map(|(name, channel)| Some((name, channel?))).collect();
        let warnings = findings.take_warnings();
        Self { database, daemon, log, metrics, supervisor, periods, queues, modules, channels, tasks, warnings }
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

    /// Whom to tell of a problem of this task in this queue: the rule of the task, then of the queue, then of the daemon. Where
    /// none names channels, all of them are notified, except those to which the problem is escalated.
    pub fn notices_of(&self, task: Option<&str>, queue: Option<&str>) -> NoticeRule {
        let of_task = task.and_then(|name| self.tasks.get(name)).map(|task| task.notices.clone()).unwrap_or_default();
        let of_queue = queue.and_then(|name| self.queues.get(name)).map(|queue| queue.notices.clone());
        let rule = of_task.or(&of_queue.unwrap_or_default()).or(&self.daemon.notices);
        let is_later = |name: &&String| rule.escalation.as_ref().is_some_and(|escalation| escalation.to.contains(name));
        let all = self.channels.keys().filter(|name| !is_later(name)).cloned().collect();
        rule.or(&NoticeRule { channels: Some(all), ..NoticeRule::default() })
    }

    /// Which attempts of this task in this queue have their output mailed, and the channels that get it: those that are named
    /// for that, or else the mail channels that hear of problems.
    pub fn mail_output_of(&self, task: &str, queue: &str) -> (MailOutput, Vec<String>) {
        let rule = self.notices_of(Some(task), Some(queue));
        let is_mail =
            |name: &String| self.channels.get(name).is_some_and(|channel| matches!(channel.means, Means::Mail(_)));
        let channels = match rule.output_to {
            Some(names) => names.into_iter().filter(|name| self.channels.contains_key(name)).collect(),
            None => rule.channels.unwrap_or_default().into_iter().filter(is_mail).collect(),
        };
        (rule.output.unwrap_or(MailOutput::Never), channels)
    }

    /// Whether the output of any attempt may be mailed.
    pub fn mails_output(&self) -> bool {
        let of_tasks = self.tasks.values().map(|task| &task.notices);
        let of_queues = self.queues.values().map(|queue| &queue.notices);
        let mut rules = of_tasks.chain(of_queues).chain([&self.daemon.notices]);
        !self.channels.is_empty() && rules.any(|rule| rule.output.is_some_and(|output| output != MailOutput::Never))
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
