//! `[module.NAME]`: a daemon module, or an external program that is kept running as one.

use std::time::Duration;

use super::{command, section::Section};
use crate::domain::{
    command::service::{ProcessSpec, StopSignal},
    text::{duration, suggest},
};

/// Without these nothing could be executed, or put on record.
const NEEDED: [&str; 4] = ["node", "recorder", "workers", "adopter"];
/// Modules whose pace is set elsewhere, and where.
const PACED: [(&str, &str); 3] = [
    ("dispatcher", "its pace is daemon.poll_interval"),
    ("node", "its pace is daemon.heartbeat"),
    ("wakeup", "it does not rest: it hears of each enqueue as it happens"),
];
/// The words for how much a module logs.
const LEVELS: [(&str, &str); 5] =
    [("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")];
/// Settings that are of no use without a program.
const OF_PROCESSES: [&str; 15] = [
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

/// Whoever is replaced more often does nothing else.
const MIN_RECYCLE_AFTER: Duration = Duration::from_secs(1);
/// No program has less memory.
const LEAST_MEMORY: u64 = 1 << 20;
/// A stop does not wait any longer.
const LONGEST_STOP: Duration = Duration::from_secs(86_400);

/// One daemon module as this node runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleConfig {
    /// Whether it runs.
    pub enabled: bool,
    /// The rest between its rounds, instead of its own.
    pub interval: Option<Duration>,
    /// It is replaced by a fresh one after so long, instead of after `[supervisor] recycle_after`.
    pub recycle_after: Option<Duration>,
    /// How much it logs.
    pub log: Option<String>,
    /// The program that it keeps running, if it is a process module.
    pub process: Option<ProcessSpec>,
}

impl Default for ModuleConfig {
    fn default() -> Self {
        Self { enabled: true, interval: None, recycle_after: None, log: None, process: None }
    }
}

/// Reads one; `modules` are those that there are without a program.
pub(super) fn read(name: &str, section: &mut Section<'_>, modules: &[String]) -> ModuleConfig {
    let tick = Duration::from_millis(10);
    section.renamed("discard", "recycle_after");
    let recycle_after = section.span("recycle_after", MIN_RECYCLE_AFTER);
    let read = ModuleConfig {
        enabled: section.flag("enabled").unwrap_or(true),
        interval: section.span("interval", tick),
        recycle_after,
        log: section.choice("log", &LEVELS).map(str::to_owned),
        process: process(section, recycle_after),
    };
    let has_command = section.node("command").is_some();
    match (modules.iter().any(|known| known == name), has_command) {
        (true, true) => section.refuse(
            "command",
            format!("`{name}` is a module of the daemon itself: give the program a name of its own"),
        ),
        (false, false) => section.refuse("", unknown(name, modules)),
        _ => {}
    }
    if !read.enabled && NEEDED.contains(&name) {
        section.refuse("enabled", format!("without `{name}` nothing could be executed and recorded: leave it enabled"));
    }
    if read.interval.is_some() {
        if let Some((_, why)) = PACED.iter().find(|(paced, _)| *paced == name) {
            section.refuse("interval", *why);
        } else if has_command {
            section.refuse("interval", "a program has no rounds, and goes at a pace of its own");
        }
    }
    read
}

fn unknown(name: &str, modules: &[String]) -> String {
    let hint = suggest::hint_or_list(name, modules.iter().map(String::as_str));
    format!("there is no daemon module `{name}`{hint} (an external program needs `command = [\"program\"]`)")
}

/// Reads what is kept running, if there is anything.
fn process(section: &mut Section<'_>, recycle_after: Option<Duration>) -> Option<ProcessSpec> {
    let argv = section.texts("command");
    let plain = ProcessSpec::new(command::program(section, argv.clone().unwrap_or_default()));
    let signals = StopSignal::ALL;
    let read = ProcessSpec {
        check: section.texts("check"),
        needs_database: section.flag("needs_database").unwrap_or(plain.needs_database),
        recycle_after,
        memory_limit: section.bytes("memory_limit", LEAST_MEMORY..=u64::MAX / 2),
        stop_signal: section.choice("stop_signal", &signals).unwrap_or(plain.stop_signal),
        stop_timeout: section.span("stop_timeout", Duration::ZERO).unwrap_or(plain.stop_timeout),
        restart_delay: section.span("restart_delay", Duration::from_millis(1)).unwrap_or(plain.restart_delay),
        max_restart_delay: section
            .span("max_restart_delay", Duration::from_millis(1))
            .unwrap_or(plain.max_restart_delay),
        ..plain
    };
    if argv.is_none() {
        if section.node("command").is_none() {
            section.refuse_each(&OF_PROCESSES, "it belongs to a program, and there is no `command`");
        }
        return None;
    }
    command::check_program(section, "command", &read.command.argv);
    command::check_variables(section, &read.command);
    if let Some(check) = &read.check {
        command::check_program(section, "check", check);
    }
    if read.stop_timeout > LONGEST_STOP {
        section.refuse("stop_timeout", format!("it is too long, at most {} is possible", duration::text(LONGEST_STOP)));
    }
    if read.max_restart_delay < read.restart_delay {
        section.refuse("max_restart_delay", "it must not be shorter than restart_delay");
    }
    Some(read)
}
