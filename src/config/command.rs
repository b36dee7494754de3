//! The settings of `[task.NAME]` that belong to a command.

use std::path::PathBuf;

use super::section::Section;
use crate::domain::{
    command::{CommandSpec, OnDaemonStop, ResourceLimits, capture, script::ShellScript},
    task::definition::HTTP,
};

/// Upper limit of `output_head` and `output_tail`, in bytes.
const MAX_OUTPUT: u64 = 1024 * 1024;
/// Settings that need a program.
const COMMAND_SETTINGS: [&str; 14] = [
    "env",
    "pass_env",
    "payload_env",
    "dir",
    "user",
    "group",
    "umask",
    "nice",
    "limits",
    "output_head",
    "output_tail",
    "fail_on_stderr",
    "keep_background",
    "on_daemon_stop",
];

/// Reads what a task of kind `command` or `shell` runs; none if it runs no program. `name` is that of the task.
pub(super) fn read(
    name: &str,
    section: &mut Section<'_>,
    script: Option<&ShellScript>,
    kind: &str,
) -> Option<CommandSpec> {
    let argv = section.texts("command");
    let is_given = argv.is_some();
    let argv = argv.or_else(|| script.map(|script| script.argv(name)));
    if section.node("command").is_none() && section.node("script").is_none() {
        let problem = "this setting needs a `command` or a `script`";
        section.refuse_each(&COMMAND_SETTINGS, problem);
        if kind != HTTP {
            section.refuse_each(&["success_codes"], problem);
        }
        return None;
    }
    let plain = program(section, argv.clone().unwrap_or_default());
    let read = CommandSpec {
        payload_env: section.text_table("payload_env").unwrap_or_default(),
        output: capture::CaptureLimits {
            head: section.bytes("output_head", 0..=MAX_OUTPUT).map_or(plain.output.head, |bytes| bytes as usize),
            tail: section.bytes("output_tail", 0..=MAX_OUTPUT).map_or(plain.output.tail, |bytes| bytes as usize),
        },
        success_codes: section.integers("success_codes", 0..=255).unwrap_or_else(|| plain.success_codes.clone()),
        fail_on_stderr: section.flag("fail_on_stderr").unwrap_or(plain.fail_on_stderr),
        keep_background: section.flag("keep_background").unwrap_or(plain.keep_background),
        on_daemon_stop: section.choice("on_daemon_stop", &[("keep", OnDaemonStop::Keep), ("stop", OnDaemonStop::Stop)]),
        ..plain
    };
    argv?;
    if is_given {
        check_program(section, "command", &read.argv);
    }
    check_variables(section, &read);
    for (name, pointer) in &read.payload_env {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            section
                .refuse("payload_env", format!("{name} = \"{pointer}\": write a JSON pointer, such as \"/{pointer}\""));
        }
    }
    if read.success_codes.is_empty() {
        section.refuse("success_codes", "the list is empty: the command could never succeed");
    }
    Some(read)
}

/// Reads the settings that a task's program and a module's program have in common.
pub(super) fn program(section: &mut Section<'_>, argv: Vec<String>) -> CommandSpec {
    CommandSpec {
        env: section.text_table("env").unwrap_or_default(),
        pass_env: section.texts("pass_env").unwrap_or_default(),
        dir: section.text("dir").map(PathBuf::from),
        limits: confines(section),
        ..CommandSpec::new(argv)
    }
}

/// Checks a command line: it needs a program, and cannot contain NUL.
pub(super) fn check_program(section: &mut Section<'_>, key: &str, argv: &[String]) {
    if argv.first().is_none_or(String::is_empty) {
        section.refuse(key, "the program is missing: write [\"program\", \"argument\", …]");
    }
    if argv.iter().any(|text| text.contains('\0')) {
        section.refuse(key, "an argument cannot contain NUL");
    }
}

/// Checks the names and values of environment variables.
pub(super) fn check_variables(section: &mut Section<'_>, command: &CommandSpec) {
    let names = |key, names: Vec<&String>, section: &mut Section<'_>| {
        for name in names {
            if name.is_empty() || name.contains(['=', '\0']) {
                section.refuse(key, format!("{name:?} is not a valid name of a variable"));
            } else if name.starts_with("SEXTON_") {
                section.refuse(key, format!("`{name}`: names that begin with SEXTON_ are reserved"));
            }
        }
    };
    names("env", command.env.keys().collect(), section);
    names("payload_env", command.payload_env.keys().collect(), section);
    names("pass_env", command.pass_env.iter().collect(), section);
    if command.env.values().any(|value| value.contains('\0')) {
        section.refuse("env", "a value cannot contain NUL");
    }
}

fn confines(section: &mut Section<'_>) -> ResourceLimits {
    let mut confines = ResourceLimits {
        user: section.text("user"),
        group: section.text("group"),
        umask: umask(section),
        nice: section.integer("nice", -20..=19),
        ..ResourceLimits::default()
    };
    section.table("limits", |limits| {
        confines.memory = limits.bytes("memory", 1..=u64::MAX / 2);
        confines.cpu = limits.duration("cpu", std::time::Duration::from_secs(1)).map(|span| span.as_secs());
        confines.open_files = limits.integer::<i64>("open_files", 4..=i64::MAX).map(|count| count as u64);
        confines.processes = limits.integer::<i64>("processes", 1..=i64::MAX).map(|count| count as u64);
        confines.file_size = limits.bytes("file_size", 0..=u64::MAX / 2);
    });
    confines
}

/// A file mode mask in octal; text, because TOML's octal integers look different (`0o027`).
fn umask(section: &mut Section<'_>) -> Option<u32> {
    let text = section.text("umask")?;
    let mask = u32::from_str_radix(&text, 8).ok().filter(|mask| *mask <= 0o777);
    if mask.is_none() {
        section.refuse("umask", format!("`{text}` is not a mask: write three octal digits, such as \"027\""));
    }
    mask
}
