//! `[module.NAME]`: settings of a daemon module, or an external program that runs as one.

use std::time::Duration;

use super::{command, section::Section};
use crate::domain::{
    command::service::{ProcessSpec, StopSignal},
    text::{duration, suggest},
};

/// Modules without which no task could be executed and recorded.
const REQUIRED: [&str; 4] = ["node", "recorder", "workers", "adopter"];
/// Modules whose interval cannot be set, each with the reason.
const WITHOUT_INTERVAL: [(&str, &str); 3] = [
    ("dispatcher", "set daemon.poll_interval instead"),
    ("node", "set daemon.heartbeat instead"),
    ("wakeup", "this module has no rounds: it waits for each enqueue"),
];
/// Log levels of a module.
const LEVELS: [(&str, &str); 5] =
    [("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")];
/// Settings that need a program.
const PROCESS_SETTINGS: [&str; 15] = [
    "env",
    "pass_env",
    "dir",
    "user",
    "group",
    "umask",
    "nice",
    "limits",
    "check",
    "needs_database",
    "memory_limit",
    "stop_signal",
    "stop_timeout",
    "restart_delay",
    "max_restart_delay",
];

/// A module that is recycled more often would do nothing else.
const MIN_RECYCLE_AFTER: Duration = Duration::from_secs(1);
/// No program runs with less memory, in bytes.
const MIN_MEMORY: u64 = 1 << 20;
/// Upper limit of `stop_timeout`.
const MAX_STOP_TIMEOUT: Duration = Duration::from_secs(86_400);

/// `[module.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleConfig {
    /// Whether the module runs.
    pub enabled: bool,
    /// Pause between two rounds; the module's own default if not set.
    pub interval: Option<Duration>,
    /// The module is recycled after this time; after `[supervisor] recycle_after` if not set.
    pub recycle_after: Option<Duration>,
    /// Log level of the module: `error`, `warn`, `info`, `debug` or `trace`.
    pub log: Option<String>,
    /// The program, if this is a process module.
    pub process: Option<ProcessSpec>,
}

impl Default for ModuleConfig {
    fn default() -> Self {
        Self { enabled: true, interval: None, recycle_after: None, log: None, process: None }
    }
}

/// Reads one table. `modules` are the names of the modules that are no programs.
pub(super) fn read(name: &str, section: &mut Section<'_>, modules: &[String]) -> ModuleConfig {
    let tick = Duration::from_millis(10);
    section.renamed("discard", "recycle_after");
    let recycle_after = section.duration("recycle_after", MIN_RECYCLE_AFTER);
    let read = ModuleConfig {
        enabled: section.flag("enabled").unwrap_or(true),
        interval: section.duration("interval", tick),
        recycle_after,
        log: section.choice("log", &LEVELS).map(str::to_owned),
        process: process(section, recycle_after),
    };
    let has_command = section.node("command").is_some();
    match (modules.iter().any(|known| known == name), has_command) {
        (true, true) => {
            section.refuse("command", format!("`{name}` is a built-in module: give the program another name"));
        }
        (false, false) => section.refuse("", unknown(name, modules)),
        _ => {}
    }
    if !read.enabled && REQUIRED.contains(&name) {
        section.refuse("enabled", format!("without `{name}` no task could be executed and recorded"));
    }
    if !read.enabled && name == "worker_processes" {
        section.refuse("enabled", "without `worker_processes` no task of kind `worker` could be executed");
    }
    if read.interval.is_some() {
        if let Some((_, why)) = WITHOUT_INTERVAL.iter().find(|(module, _)| *module == name) {
            section.refuse("interval", *why);
        } else if has_command {
            section.refuse("interval", "a program has no rounds");
        }
    }
    read
}

fn unknown(name: &str, modules: &[String]) -> String {
    let hint = suggest::hint_or_list(name, modules.iter().map(String::as_str));
    format!("there is no daemon module `{name}`{hint} (an external program needs `command = [\"program\"]`)")
}

/// Reads the settings of a process module; none if there is no program.
fn process(section: &mut Section<'_>, recycle_after: Option<Duration>) -> Option<ProcessSpec> {
    let argv = section.texts("command");
    let plain = ProcessSpec::new(command::program(section, argv.clone().unwrap_or_default()));
    let signals = StopSignal::ALL;
    let read = ProcessSpec {
        check: section.texts("check"),
        needs_database: section.flag("needs_database").unwrap_or(plain.needs_database),
        recycle_after,
        memory_limit: section.bytes("memory_limit", MIN_MEMORY..=u64::MAX / 2),
        stop_signal: section.choice("stop_signal", &signals).unwrap_or(plain.stop_signal),
        stop_timeout: section.duration("stop_timeout", Duration::ZERO).unwrap_or(plain.stop_timeout),
        restart_delay: section.duration("restart_delay", Duration::from_millis(1)).unwrap_or(plain.restart_delay),
        max_restart_delay: section
            .duration("max_restart_delay", Duration::from_millis(1))
            .unwrap_or(plain.max_restart_delay),
        ..plain
    };
    if argv.is_none() {
        if section.node("command").is_none() {
            section.refuse_each(&PROCESS_SETTINGS, "this setting needs a program (`command`)");
        }
        return None;
    }
    command::check_program(section, "command", &read.command.argv);
    command::check_variables(section, &read.command);
    if let Some(check) = &read.check {
        command::check_program(section, "check", check);
    }
    if read.stop_timeout > MAX_STOP_TIMEOUT {
        section.refuse("stop_timeout", format!("it is too long: the maximum is {}", duration::text(MAX_STOP_TIMEOUT)));
    }
    if read.max_restart_delay < read.restart_delay {
        section.refuse("max_restart_delay", "it must not be shorter than restart_delay");
    }
    Some(read)
}
