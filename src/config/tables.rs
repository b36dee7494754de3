//! The configuration: one field for each table.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{
    daemon::{DaemonConfig, SupervisorConfig},
    database::DatabaseConfig,
    deploy::DeployConfig,
    follow,
    known_names::KnownNames,
    log::LogConfig,
    metrics::MetricsConfig,
    mistake::{ConfigWarning, Findings},
    module::{self, ModuleConfig},
    notify, period,
    queue::QueueConfig,
    schedule_table::{self, ScheduledTask, SharedDefinitions},
    section::Section,
    sweep, task,
    trace::TraceConfig,
    tree::TreeNode,
    trigger,
    unused_schedule::UnusedSchedule,
    worker,
};
use crate::domain::{
    deploy::SignedVersion,
    event::Trigger,
    identity::QueueName,
    notice::{
        MailOutput, NoticeRule,
        channel::{Channel, Means},
    },
    period::Periods,
    task::{
        definition::{DEFAULT_QUEUE, TaskDefinition},
        waiting::LocalRules,
    },
    worker::WorkerSpec,
};

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
    /// `[trace]`.
    pub trace: TraceConfig,
    /// `[supervisor]`.
    pub supervisor: SupervisorConfig,
    /// `[deploy]`; without it, nothing of the configuration comes from the database.
    pub deploy: Option<DeployConfig>,
    /// The version that was deployed by the database and is a part of this configuration.
    pub deployed: Option<Arc<SignedVersion>>,
    /// `[period.NAME]`.
    pub periods: Periods,
    /// `[queue.NAME]`: the queues that this node works on. `default` is always present.
    pub queues: BTreeMap<QueueName, QueueConfig>,
    /// `[module.NAME]`: settings of built-in modules, and process modules.
    pub modules: BTreeMap<String, ModuleConfig>,
    /// `[notify.NAME]`: the channels of notices.
    pub channels: BTreeMap<String, Channel>,
    /// `[worker.NAME]`: the programs whose processes execute tasks of kind `worker`.
    pub worker_programs: BTreeMap<String, Arc<WorkerSpec>>,
    /// `[task.NAME]`.
    pub tasks: BTreeMap<String, Arc<TaskDefinition>>,
    /// `[schedule.NAME]`: of the files, and those of the database that are in force.
    pub schedule_tables: BTreeMap<String, Arc<ScheduledTask>>,
    /// `[trigger.NAME]`.
    pub triggers: BTreeMap<String, Arc<Trigger>>,
    /// The schedules of the database that are not in force.
    pub unused_schedules: BTreeMap<String, UnusedSchedule>,
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
        let trace = top.table("trace", TraceConfig::read).unwrap_or_default();
        let supervisor = top.table("supervisor", SupervisorConfig::read).unwrap_or_default();
        let deploy = top.table("deploy", DeployConfig::read).flatten();
        let periods = top.tables("period", |name, table| period::read(name, table, daemon.zone()));
        let periods = period::join(periods, top.findings);
        let ways = top.tables("notify", |_, table| notify::read(table, &periods));
        let queues = top.tables("queue", |_, table| QueueConfig::read(table, &periods, &channels));
        let mut queues: BTreeMap<QueueName, QueueConfig> =
            queues.into_iter().map(|(name, queue)| (name.into(), queue)).collect();
        queues.entry(DEFAULT_QUEUE.into()).or_insert(QueueConfig::of(daemon.workers));
        let programs = top.names("worker");
        let workers = top.tables("worker", |_, table| worker::read(table));
        let mut tasks = top.tables("task", |name, table| {
            let notices = notify::rule(table, &channels);
            let definition = task::read(name, table, &daemon, &periods, known, &programs, &ways);
            let fair_by = queues.get(&definition.queue).and_then(|queue| queue.fair_by.as_ref());
            task::check_key(table, &definition, fair_by);
            Arc::new(TaskDefinition { notices, ..definition })
        });
        let place = |tasks| schedule_table::Place {
            zone: daemon.zone(),
            max_payload: daemon.max_payload,
            periods: &periods,
            tasks,
            registered: &known.definitions,
        };
        let of_tables = tasks.clone();
        let trigger_names = top.names("trigger");
        let sweeps = top.tables("sweep", |name, table| {
            let notices = notify::rule(table, &channels);
            sweep::read(name, table, notices, &place(&of_tables), &trigger_names)
        });
        let of_sweeps: Vec<Arc<Trigger>> =
            sweeps.values().flatten().filter_map(|sweep| sweep.trigger.clone()).collect();
        tasks.extend(sweeps.into_iter().filter_map(|(name, sweep)| Some((name, sweep?.definition))));
        let place = place(&tasks);
        let mut shared = SharedDefinitions::default();
        let schedule_tables =
            top.tables("schedule", |name, table| schedule_table::read(name, table, &place, &mut shared));
        let triggers = top.tables("trigger", |name, table| trigger::read(name, table, &place));
        let modules = top.tables("module", |name, table| module::read(name, table, &known.modules));
        top.finish();
        let schedule_tables: BTreeMap<String, Arc<ScheduledTask>> =
            schedule_tables.into_iter().filter_map(|(name, table)| Some((name, table?.into()))).collect();
        let of_tasks = tasks.values().filter_map(|task| task.schedule.as_deref());
        let of_tables = schedule_tables.values().map(|table| &*table.schedule);
        follow::check(root, of_tasks.chain(of_tables), findings);
        for definition in tasks.values().chain(schedule_tables.values().map(|table| &table.definition)) {
            queues.entry(definition.queue.clone()).or_insert(QueueConfig::of(daemon.workers));
        }
        let mut triggers: BTreeMap<String, Arc<Trigger>> =
            triggers.into_iter().filter_map(|(name, trigger)| Some((name, trigger?))).collect();
        triggers.extend(of_sweeps.into_iter().map(|trigger| (trigger.name.clone(), trigger)));
        for trigger in triggers.values() {
            queues.entry(trigger.queue.clone()).or_insert(QueueConfig::of(daemon.workers));
        }
        let channels = ways.into_iter().filter_map(|(name, channel)| Some((name, channel?))).collect();
        let worker_programs =
            workers.into_iter().filter_map(|(name, program)| Some((name, Arc::new(program?)))).collect();
        let warnings = findings.take_warnings();
        Self {
            database,
            daemon,
            log,
            metrics,
            trace,
            supervisor,
            deploy,
            deployed: None,
            periods,
            queues,
            modules,
            channels,
            worker_programs,
            tasks,
            schedule_tables,
            triggers,
            unused_schedules: BTreeMap::new(),
            warnings,
        }
    }

    /// What holds back the tasks of a queue by this configuration.
    pub fn rules_of(&self, queue: &str, now: DateTime<Utc>) -> LocalRules {
        let Some(settings) = self.queues.get(queue) else { return LocalRules::default() };
        let period = settings.period.as_ref().and_then(|name| self.periods.get(name));
        let closed = period.and_then(|period| period.outside_in_words(now));
        LocalRules { closed, limit: settings.limit, ..LocalRules::default() }
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

    /// The files that it names and whose content is a part of it: calendars, schemas, templates and keys.
    pub fn named_files(&self) -> impl Iterator<Item = &Path> {
        let calendars = self.periods.0.values().flat_map(|period| period.calendars());
        let schemas = self.tasks.values().filter_map(|task| task.payload_schema.as_ref()?.file.as_deref());
        let mails = self.tasks.values().filter_map(|task| task.email.as_ref());
        let keys = self.deploy.as_ref().and_then(|deploy| deploy.keys_file.as_deref());
        let templates = mails.flat_map(|mail| mail.files()).map(PathBuf::as_path);
        calendars.map(|calendar| Path::new(&calendar.file)).chain(schemas).chain(templates).chain(keys)
    }
}
