//! A program as TOML.

use std::time::Duration;

use toml::{Table, Value};

use super::toml_values::{bytes, length, table};
use crate::domain::command::CommandSpec;

/// The settings that the programs of tasks, workers and modules have in common.
pub(super) fn program(command: &CommandSpec) -> Table {
    let mut shown = table([("command", command.argv.clone().into())]);
    let mut add = |key: &str, value: Option<Value>| {
        shown.extend(value.map(|value| (key.to_owned(), value)));
    };
    let confines = &command.limits;
    let some = |list: Table| (!list.is_empty()).then(|| Value::from(list));
    // Values of variables may be secrets: only the names are shown.
    add("env", some(command.env.keys().map(|name| (name.clone(), "***".into())).collect()));
    add("pass_env", (!command.pass_env.is_empty()).then(|| command.pass_env.clone().into()));
    add("dir", command.dir.as_ref().map(|dir| dir.display().to_string().into()));
    add("user", confines.user.clone().map(Value::from));
    add("group", confines.group.clone().map(Value::from));
    add("umask", confines.umask.map(|mask| format!("{mask:03o}").into()));
    add("nice", confines.nice.map(|nice| i64::from(nice).into()));
    let count = |count: Option<u64>| count.map(|count| Value::from(count as i64));
    let limits = [
        ("memory", confines.memory.map(bytes)),
        ("cpu", confines.cpu.map(|seconds| length(Duration::from_secs(seconds)))),
        ("open_files", count(confines.open_files)),
        ("processes", count(confines.processes)),
        ("file_size", confines.file_size.map(bytes)),
    ];
    add("limits", some(limits.into_iter().filter_map(|(key, limit)| Some((key.to_owned(), limit?))).collect()));
    shown
}
