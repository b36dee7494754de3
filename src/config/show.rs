//! The configuration in force, as TOML.

use std::sync::Arc;

use sexton_entities::states::Origin;
use toml::{Table, Value};

use super::{
    daemon::{ON_UNKNOWN, OnUnknown},
    database::NOWHERE,
    deploy::DeployConfig,
    expectation, missed_policy,
    module::ModuleConfig,
    ping,
    queue::{AtPeriodEnd, QueueConfig},
    rate, recurrence, show_email, show_http, show_notices,
    show_program::program,
    show_sql, show_sweep,
    tables::Config,
    toml_values::{bytes, length, table},
    trigger, worker,
};
use crate::domain::{
    command::{CommandSpec, OnDaemonStop},
    daemon::{
        lease::OnLeaseLost,
        log::{LogFormat, Rotation},
    },
    period::{Calendar, Period},
    schedule::Outside,
    task::{
        definition::TaskDefinition,
        retry::{Growth, RetryPolicy},
        time_limit::TimeLimit,
    },
    text::redact,
};

impl Config {
    /// The configuration as TOML, with every default filled in and secrets left out.
    pub fn show(&self) -> String {
        show(self)
    }
}

fn show(config: &Config) -> String {
    let mut top = Table::new();
    top.insert("database".into(), database(config).into());
    top.insert("daemon".into(), daemon(config).into());
    top.insert("log".into(), log(config).into());
    top.insert("metrics".into(), metrics(config).into());
    top.insert("trace".into(), trace(config).into());
    top.insert("supervisor".into(), supervisor(config).into());
    if let Some(deploy) = &config.deploy {
        top.insert("deploy".into(), deployed(deploy).into());
    }
    let periods = config.periods.0.values().map(|shown| (shown.name.clone(), Value::from(period(shown))));
    top.insert("period".into(), Table::from_iter(periods).into());
    let queues = config.queues.iter().map(|(name, settings)| (name.to_string(), Value::from(queue(settings))));
    top.insert("queue".into(), Table::from_iter(queues).into());
    let channels =
        config.channels.iter().map(|(name, shown)| (name.clone(), Value::from(show_notices::channel(shown))));
    top.insert("notify".into(), Table::from_iter(channels).into());
    let modules = config.modules.iter().map(|(name, shown)| (name.clone(), Value::from(module(shown))));
    top.insert("module".into(), Table::from_iter(modules).into());
    let workers = config.worker_programs.iter().map(|(name, shown)| (name.clone(), Value::from(worker::show(shown))));
    top.insert("worker".into(), Table::from_iter(workers).into());
    let (sweeps, tasks): (Vec<_>, Vec<_>) = config.tasks.values().partition(|task| task.sweep.is_some());
    let shown = |task: &Arc<TaskDefinition>| (task.name.clone(), Value::from(definition(task)));
    top.insert("task".into(), tasks.into_iter().map(shown).collect::<Table>().into());
    let sweeps: Table = sweeps
        .into_iter()
        .filter_map(|task| Some((task.name.clone(), show_sweep::sweep(config, task, definition(task))?.into())))
        .collect();
    if !sweeps.is_empty() {
        top.insert("sweep".into(), sweeps.into());
    }
    let of_files = config.schedule_tables.iter().filter(|(_, table)| table.origin == Origin::Config);
    let tables: Table = of_files.filter_map(|(name, table)| Some((name.clone(), table.as_toml()?))).collect();
    if !tables.is_empty() {
        top.insert("schedule".into(), tables.into());
    }
    let is_own = |name: &str| config.tasks.get(name).is_none_or(|task| task.sweep.is_none());
    let triggers = config.triggers.iter().filter(|(name, _)| is_own(name));
    let triggers: Table = triggers.map(|(name, shown)| (name.clone(), Value::from(trigger::show(shown)))).collect();
    if !triggers.is_empty() {
        top.insert("trigger".into(), triggers.into());
    }
    top.to_string()
}

fn deployed(deploy: &DeployConfig) -> Table {
    let keys: Vec<Value> = deploy.keys.lines().into_iter().map(Value::from).collect();
    table([("cluster", deploy.cluster.clone().into()), ("keys", keys.into()), ("min_number", deploy.min_number.into())])
}

fn queue(queue: &QueueConfig) -> Table {
    let mut shown = table([("workers", (queue.workers as i64).into())]);
    shown.extend(queue.limit.map(|limit| ("limit".to_owned(), Value::from(limit as i64))));
    shown.extend(rate::show(queue.rate));
    shown.extend(queue.aging.map(|aging| ("aging".to_owned(), length(aging))));
    shown.extend(queue.fair_by.as_ref().map(|path| ("fair_by".to_owned(), path.to_string().into())));
    shown.extend(on_lease_lost(queue.on_lease_lost));
    shown.extend(time_limit(queue.timeout));
    shown.extend(show_notices::rule(&queue.notices));
    if let Some(period) = &queue.period {
        shown.insert("period".into(), period.clone().into());
        let end = if queue.at_period_end == AtPeriodEnd::Stop { "stop" } else { "finish" };
        shown.insert("at_period_end".into(), end.into());
    }
    shown
}

fn period(period: &Period) -> Table {
    let mut shown = table([
        ("timezone", period.zone.name().into()),
        ("precedence", period.precedence.into()),
        ("prefer_includes", period.prefer_includes.into()),
    ]);
    let rules = period.rules.iter().map(|rule| (rule.days.text.clone(), Value::from(rule.shown_times())));
    shown.insert("ranges".into(), Table::from_iter(rules).into());
    let names = |periods: &[Arc<Period>]| periods.iter().map(|period| period.name.clone()).collect::<Vec<_>>();
    let files = |calendars: &[Calendar]| calendars.iter().map(|calendar| calendar.file.clone()).collect::<Vec<_>>();
    let lists = [
        ("includes", names(&period.includes)),
        ("excludes", names(&period.excludes)),
        ("include_ics", files(&period.include_ics)),
        ("exclude_ics", files(&period.exclude_ics)),
    ];
    let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
    shown.extend(given.map(|(key, list)| (key.to_owned(), list.into())));
    shown
}

fn database(config: &Config) -> Table {
    let database = &config.database;
    let mut shown = table([
        ("url", redact::redacted(&database.url).into()),
        ("max_connections", i64::from(database.max_connections).into()),
        ("acquire_timeout", length(database.acquire_timeout)),
        ("migrate", database.migrate.into()),
        ("notify_on_insert", database.notify_on_insert.into()),
        ("wakeup_address", database.wakeup_address.map_or(NOWHERE.to_owned(), |address| address.to_string()).into()),
        ("pooler", database.pooler.as_str().into()),
    ]);
    shown.extend(database.schema.iter().map(|schema| ("schema".to_owned(), schema.as_str().into())));
    shown.extend(database.direct_url.iter().map(|url| ("direct_url".to_owned(), redact::redacted(url).into())));
    shown
}

fn daemon(config: &Config) -> Table {
    let daemon = &config.daemon;
    let mut shown = table([
        ("state_dir", daemon.state_dir.display().to_string().into()),
        ("run_dir", daemon.run_dir.display().to_string().into()),
        ("log_dir", daemon.log_dir.display().to_string().into()),
        ("workers", (daemon.workers as i64).into()),
        ("poll_interval", length(daemon.poll_interval)),
        ("heartbeat", length(daemon.heartbeat)),
        ("lease", length(daemon.lease)),
        ("max_payload", bytes(daemon.max_payload)),
        ("max_pickups", i64::from(daemon.max_pickups).into()),
        ("report_full_after", length(daemon.report_full_after)),
        ("report_stalled_after", length(daemon.report_stalled_after)),
        ("stop_timeout", length(daemon.stop_timeout)),
        ("force_timeout", length(daemon.force_timeout)),
        ("watchdog", length(daemon.watchdog)),
        ("watch_config", daemon.watch_config.into()),
        ("reload_debounce", length(daemon.reload_debounce)),
        ("refuse_root", daemon.refuse_root.into()),
        ("keep_history", length(daemon.keep_history)),
        ("keep_events", length(daemon.keep_events)),
        ("unknown_tasks", unknown_tasks(daemon.unknown_tasks).into()),
        ("discard_unknown_after", length(daemon.discard_unknown_after)),
    ]);
    let optional = [
        ("name", daemon.name.clone().map(Value::from)),
        ("timezone", daemon.timezone.map(|zone| zone.name().into())),
        ("max_age", daemon.max_age.map(length)),
        ("max_memory", daemon.max_memory.map(bytes)),
    ];
    shown.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    shown.extend(on_lease_lost(daemon.on_lease_lost));
    shown.extend(time_limit(daemon.timeout));
    shown.extend(show_notices::rule(&daemon.notices));
    shown.extend(ping::show(daemon.ping_url.as_ref()));
    shown
}

fn time_limit(setting: Option<TimeLimit>) -> Option<(String, Value)> {
    setting.map(|limit| ("timeout".to_owned(), limit.text().into()))
}

fn on_lease_lost(setting: Option<OnLeaseLost>) -> Option<(String, Value)> {
    setting.map(|setting| ("on_lease_lost".to_owned(), setting.word().into()))
}

fn unknown_tasks(choice: OnUnknown) -> &'static str {
    ON_UNKNOWN.iter().find(|(_, value)| *value == choice).map_or("", |(word, _)| word)
}

fn metrics(config: &Config) -> Table {
    let listen = config.metrics.listen.map(|listen| ("listen".to_owned(), Value::from(listen.to_string())));
    let file = config.metrics.file.as_ref().map(|file| ("file".to_owned(), Value::from(file.display().to_string())));
    listen.into_iter().chain(file).collect()
}

fn trace(config: &Config) -> Table {
    config
        .trace
        .endpoint
        .iter()
        .map(|endpoint| ("endpoint".to_owned(), Value::from(redact::redacted(endpoint))))
        .collect()
}

fn log(config: &Config) -> Table {
    let log = &config.log;
    table([
        ("level", log.level.clone().into()),
        ("format", if log.format == LogFormat::Json { "json" } else { "text" }.into()),
        (
            "rotate",
            match log.rotate {
                Rotation::Daily => "daily".into(),
                Rotation::Size(most) => bytes(most),
            },
        ),
        ("days_to_keep", i64::from(log.days_to_keep).into()),
        ("keep_files", i64::from(log.keep_files).into()),
    ])
}

fn supervisor(config: &Config) -> Table {
    let supervisor = &config.supervisor;
    table([
        ("restart_delay", length(supervisor.restart.restart_delay)),
        ("max_restart_delay", length(supervisor.restart.max_restart_delay)),
        ("max_restarts", (supervisor.restart.max_restarts as i64).into()),
        ("restart_window", length(supervisor.restart.restart_window)),
        ("ping_interval", length(supervisor.ping_interval)),
        ("hang_timeout", length(supervisor.hang_timeout)),
        ("recycle_after", length(supervisor.recycle_after)),
    ])
}

fn definition(task: &TaskDefinition) -> Table {
    let mut shown = table([
        ("kind", task.kind.clone().into()),
        ("queue", task.queue.as_str().into()),
        ("priority", i64::from(task.priority).into()),
        ("max_attempts", i64::from(task.max_attempts).into()),
        ("kill_after", length(task.kill_after)),
        ("retry", retry(&task.retry).into()),
    ]);
    shown.extend(task.max_parallel.map(|most| ("max_parallel".to_owned(), Value::from(most as i64))));
    let by = task.max_parallel_by.as_ref();
    shown.extend(by.map(|path| ("max_parallel_by".to_owned(), path.to_string().into())));
    shown.extend(rate::show(task.rate));
    shown.extend(task.max_pickups.map(|most| ("max_pickups".to_owned(), Value::from(i64::from(most)))));
    shown.extend(on_lease_lost(task.on_lease_lost));
    shown.extend(task.max_snoozes.map(|most| ("max_snoozes".to_owned(), Value::from(i64::from(most)))));
    shown.extend(time_limit(task.time_limit()));
    shown.extend(show_notices::rule(&task.notices));
    shown.extend(ping::show(task.ping_url.as_ref()));
    shown.extend(task.expires.map(|expires| ("expires".to_owned(), length(expires))));
    shown.extend(task.payload_schema.as_ref().and_then(|schema| {
        let written = match &schema.file {
            Some(file) => file.display().to_string().into(),
            None => Value::try_from(&schema.document).ok()?,
        };
        Some(("payload_schema".to_owned(), written))
    }));
    if let Some(when) = task.disabled {
        shown.extend(table([("enabled", false.into()), ("when_disabled", when.word().into())]));
    }
    shown.extend(task.warn_after.map(|time| ("warn_after".to_owned(), length(time))));
    if let Some(command) = &task.command {
        shown.extend(self::command(command));
    }
    if let Some(script) = &task.script {
        // The command line follows from these two.
        shown.remove("command");
        shown.extend(table([("script", script.text.clone().into()), ("shell", script.shell.clone().into())]));
    }
    shown.extend(task.worker.as_ref().map(|worker| ("worker".to_owned(), worker.clone().into())));
    if let Some(mail) = &task.email {
        shown.extend(show_email::mail(mail));
    }
    if let Some(request) = &task.http {
        shown.extend(show_http::request(request));
    }
    if let Some(statements) = &task.sql {
        shown.extend(show_sql::statements(statements));
    }
    if let Some(payload) = task.payload.as_ref().and_then(|payload| Value::try_from(payload).ok()) {
        shown.insert("payload".into(), payload);
    }
    if let Some(schedule) = &task.schedule {
        shown.insert("schedule".into(), recurrence::show(schedule));
        if let Some(period) = &schedule.period {
            shown.insert("period".into(), period.clone().into());
            shown.insert(
                "outside_period".into(),
                if schedule.outside_period == Outside::Hold { "hold" } else { "skip" }.into(),
            );
        }
        shown.extend(missed_policy::show(&schedule.policy));
        shown.extend(schedule.expect.map(|expect| ("expect".to_owned(), expectation::show(expect))));
    }
    shown
}

fn module(module: &ModuleConfig) -> Table {
    let mut shown = table([("enabled", module.enabled.into())]);
    if let Some(process) = &module.process {
        shown.extend(program(&process.command));
        shown.extend(table([
            ("needs_database", process.needs_database.into()),
            ("stop_signal", process.stop_signal.to_string().into()),
            ("stop_timeout", length(process.stop_timeout)),
            ("restart_delay", length(process.restart_delay)),
            ("max_restart_delay", length(process.max_restart_delay)),
        ]));
    }
    let process = module.process.as_ref();
    let rare = [
        ("interval", module.interval.map(length)),
        ("recycle_after", module.recycle_after.map(length)),
        ("log", module.log.clone().map(Value::from)),
        ("check", process.and_then(|process| process.check.clone()).map(Value::from)),
        ("memory_limit", process.and_then(|process| process.memory_limit).map(bytes)),
    ];
    shown.extend(rare.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    shown
}

fn command(command: &CommandSpec) -> Table {
    let mut shown = program(command);
    shown.extend(table([
        ("output_head", bytes(command.output.head as u64)),
        ("output_tail", bytes(command.output.tail as u64)),
        ("success_codes", command.success_codes.iter().map(|code| i64::from(*code)).collect::<Vec<_>>().into()),
        ("fail_on_stderr", command.fail_on_stderr.into()),
        ("keep_background", command.keep_background.into()),
    ]));
    if !command.payload_env.is_empty() {
        let pointers = command.payload_env.iter().map(|(name, at)| (name.clone(), Value::from(at.clone())));
        shown.insert("payload_env".into(), Table::from_iter(pointers).into());
    }
    let on_stop = command.on_daemon_stop.map(|what| match what {
        OnDaemonStop::Keep => "keep",
        OnDaemonStop::Stop => "stop",
    });
    shown.extend(on_stop.map(|what| ("on_daemon_stop".to_owned(), what.into())));
    shown
}

fn retry(policy: &RetryPolicy) -> Table {
    let growth = match policy.growth {
        Growth::Fixed => "fixed",
        Growth::Exponential => "exponential",
    };
    table([
        ("delay", length(policy.delay)),
        ("growth", growth.into()),
        ("max_delay", length(policy.max_delay)),
        ("jitter", policy.jitter.into()),
    ])
}
