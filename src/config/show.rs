//! The configuration in force, as TOML.

use std::time::Duration;

use toml::{Table, Value};

use super::Config;
use crate::domain::{
    address,
    definition::TaskDefinition,
    recurrence::Recurrence,
    retry::{Growth, RetryPolicy},
    span,
};

pub(super) fn show(config: &Config) -> String {
    let mut top = Table::new();
    top.insert("database".into(), database(config).into());
    top.insert("daemon".into(), daemon(config).into());
    top.insert("supervisor".into(), supervisor(config).into());
    let queues = config.queues.iter().map(|(name, queue)| {
        (name.clone(), Value::from(Table::from_iter([("workers".to_owned(), Value::from(queue.workers as i64))])))
    });
    top.insert("queue".into(), Table::from_iter(queues).into());
    let tasks = config.tasks.values().map(|task| (task.name.clone(), Value::from(definition(task))));
    top.insert("task".into(), Table::from_iter(tasks).into());
    top.to_string()
}

fn length(length: Duration) -> Value {
    humantime::format_duration(length).to_string().into()
}

fn database(config: &Config) -> Table {
    let database = &config.database;
    table([
        ("url", address::redacted(&database.url).into()),
        ("max_connections", i64::from(database.max_connections).into()),
        ("acquire_timeout", length(database.acquire_timeout)),
        ("migrate", database.migrate.into()),
        ("notify_on_insert", database.notify_on_insert.into()),
    ])
}

fn daemon(config: &Config) -> Table {
    let daemon = &config.daemon;
    let mut shown = table([
        ("state_dir", daemon.state_dir.display().to_string().into()),
        ("workers", (daemon.workers as i64).into()),
        ("poll_interval", length(daemon.poll_interval)),
        ("heartbeat", length(daemon.heartbeat)),
        ("lease", length(daemon.lease)),
        ("stop_timeout", length(daemon.stop_timeout)),
        ("keep_history", length(daemon.keep_history)),
        ("timezone", daemon.timezone.name().into()),
    ]);
    if let Some(name) = &daemon.name {
        shown.insert("name".into(), name.clone().into());
    }
    shown
}

fn supervisor(config: &Config) -> Table {
    let supervisor = &config.supervisor;
    table([
        ("first_delay", length(supervisor.restart.first_delay)),
        ("max_delay", length(supervisor.restart.max_delay)),
        ("max_falls", (supervisor.restart.max_falls as i64).into()),
        ("window", length(supervisor.restart.window)),
        ("ping_interval", length(supervisor.ping_interval)),
        ("patience", length(supervisor.patience)),
        ("discard", length(supervisor.discard)),
    ])
}

fn definition(task: &TaskDefinition) -> Table {
    let mut shown = table([
        ("kind", task.kind.clone().into()),
        ("queue", task.queue.clone().into()),
        ("priority", i64::from(task.priority).into()),
        ("max_attempts", i64::from(task.max_attempts).into()),
        ("kill_after", length(task.kill_after)),
        ("retry", retry(&task.retry).into()),
    ]);
    if let Some(timeout) = task.timeout {
        shown.insert("timeout".into(), length(timeout));
    }
    if let Some(command) = &task.command {
        shown.insert("command".into(), command.argv.clone().into());
        shown.insert("output_limit".into(), (command.output_limit as i64).into());
        if !command.env.is_empty() {
            // Values of variables may be secrets: only their names are shown.
            let env = command.env.keys().map(|name| (name.clone(), Value::from("***")));
            shown.insert("env".into(), Table::from_iter(env).into());
        }
        if let Some(dir) = &command.dir {
            shown.insert("dir".into(), dir.display().to_string().into());
        }
    }
    if let Some(payload) = task.payload.as_ref().and_then(|payload| Value::try_from(payload).ok()) {
        shown.insert("payload".into(), payload);
    }
    if let Some(schedule) = &task.schedule {
        let recurrences: Vec<Value> = schedule.recurrences.iter().map(|rule| recurrence(rule).into()).collect();
        shown.insert("schedule".into(), recurrences.into());
    }
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

fn recurrence(rule: &Recurrence) -> Table {
    match rule {
        Recurrence::Cron { expr, zone } => table([("cron", expr.to_string().into()), ("timezone", zone.name().into())]),
        Recurrence::Every(interval) => table([("every", span::text(*interval).into())]),
    }
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
