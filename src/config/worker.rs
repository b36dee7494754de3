//! `[worker.NAME]`: a program whose long-lived processes execute tasks of kind `worker`.

use std::time::Duration;

use toml::Table;

use super::{
    command,
    section::Section,
    show_program::program,
    toml_values::{bytes, length, table},
};
use crate::domain::{
    task::definition::WORKER,
    text::{duration, suggest},
    worker::WorkerSpec,
};

/// The most processes of one program on one node.
const MAX_PROCESSES: i64 = 1_000;
/// No program runs with less memory, in bytes.
const MIN_MEMORY: u64 = 1 << 20;
/// Upper limit of `stop_timeout`: the stop of the daemon waits for it.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads one table; none if it has no program, which is a mistake.
pub(super) fn read(section: &mut Section<'_>) -> Option<WorkerSpec> {
    let argv = section.texts("command");
    let tick = Duration::from_millis(1);
    let read = WorkerSpec {
        command: command::program(section, argv.clone().unwrap_or_default()),
        processes: section.integer("processes", 1..=MAX_PROCESSES).unwrap_or(1),
        max_tasks: section.integer::<i64>("max_tasks", 1..=i64::MAX).map(|count| count as u64),
        max_memory: section.bytes("max_memory", MIN_MEMORY..=u64::MAX / 2),
        max_age: section.duration("max_age", Duration::from_secs(1)),
        start_timeout: section.duration("start_timeout", tick).unwrap_or(Duration::from_secs(30)),
        ping_interval: section.duration("ping_interval", tick).unwrap_or(Duration::from_secs(30)),
        stop_timeout: section.duration("stop_timeout", Duration::ZERO).unwrap_or(Duration::from_secs(5)),
        restart_delay: section.duration("restart_delay", tick).unwrap_or(Duration::from_secs(1)),
        max_restart_delay: section.duration("max_restart_delay", tick).unwrap_or(Duration::from_secs(60)),
    };
    if argv.is_none() {
        if section.node("command").is_none() {
            section.refuse("", "`command` is missing: the program that speaks the protocol of docs/WORKERS.md");
        }
        return None;
    }
    command::check_program(section, "command", &read.command.argv);
    command::check_variables(section, &read.command);
    if read.stop_timeout > MAX_STOP_TIMEOUT {
        section.refuse("stop_timeout", format!("it is too long: the maximum is {}", duration::text(MAX_STOP_TIMEOUT)));
    }
    if read.max_restart_delay < read.restart_delay {
        section.refuse("max_restart_delay", "it must not be shorter than restart_delay");
    }
    Some(read)
}

/// Reads which of the `programs` executes a task.
pub(super) fn of_task(section: &mut Section<'_>, kind: &str, programs: &[String]) -> Option<String> {
    if kind != WORKER {
        section.refuse_each(&["worker"], "this setting is one of kind \"worker\"");
        return None;
    }
    let named = section.text("worker");
    if section.node("worker").is_none() {
        section.refuse("", "kind \"worker\" needs `worker = \"NAME\"`, the name of a [worker.NAME] table");
    }
    if let Some(unknown) = named.as_ref().filter(|name| !programs.contains(name)) {
        let hint = suggest::hint_or_list(unknown, programs.iter().map(String::as_str));
        section.refuse("worker", format!("there is no [worker.{unknown}]{hint}"));
    }
    named
}

/// A program as TOML.
pub(super) fn show(spec: &WorkerSpec) -> Table {
    let mut shown = program(&spec.command);
    shown.extend(table([
        ("processes", (spec.processes as i64).into()),
        ("start_timeout", length(spec.start_timeout)),
        ("ping_interval", length(spec.ping_interval)),
        ("stop_timeout", length(spec.stop_timeout)),
        ("restart_delay", length(spec.restart_delay)),
        ("max_restart_delay", length(spec.max_restart_delay)),
    ]));
    let rare = [
        ("max_tasks", spec.max_tasks.map(|count| (count as i64).into())),
        ("max_memory", spec.max_memory.map(bytes)),
        ("max_age", spec.max_age.map(length)),
    ];
    shown.extend(rare.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    shown
}
