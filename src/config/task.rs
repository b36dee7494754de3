//! `[task.NAME]`.

use std::{path::PathBuf, time::Duration};

use chrono_tz::Tz;

use super::{schedule, section::Section};
use crate::domain::{
    definition::{COMMAND, CommandSpec, DEFAULT_QUEUE, TaskDefinition},
    retry::{Growth, RetryPolicy},
    schedule::Schedule,
};

/// Reads a task definition; `kinds` are those of the registered handlers. A kind that nobody executes is a
/// mistake that is best told before the kind is needed.
pub(super) fn read(name: &str, section: &mut Section<'_>, zone: Tz, kinds: &[String]) -> TaskDefinition {
    let command = command(section);
    let kind = section.text("kind");
    // A command that cannot be read is a command all the same.
    let has_command = section.node("command").is_some();
    let kind = match (&kind, has_command) {
        (Some(kind), true) if kind != COMMAND => {
            section.refuse("kind", format!("`{kind}` together with `command`: leave one of them out"));
            COMMAND
        }
        (Some(kind), false) if kind == COMMAND => {
            section.refuse("kind", "kind \"command\" needs `command = [\"program\", \"argument\"]`");
            COMMAND
        }
        (Some(kind), _) => kind.as_str(),
        (None, true) => COMMAND,
        // A definition for a handler that was registered in Rust under the task's own name.
        (None, false) => name,
    };
    if !kinds.iter().any(|known| known == kind) {
        let problem = match kind == name {
            true => "it says neither `command` nor `kind`, and no handler of its name is registered".to_owned(),
            false => format!("there is no handler of kind `{kind}`; known: {}", kinds.join(", ")),
        };
        section.refuse("kind", problem);
    }
    let plain = TaskDefinition::new(name, kind);
    let schedule = section.node("schedule").map(|node| {
        let path = format!("task.{name}.schedule");
        let recurrences = schedule::read(&path, node, zone, section.mistakes);
        Schedule { name: name.to_owned(), recurrences }
    });
    TaskDefinition {
        queue: section.text("queue").unwrap_or_else(|| DEFAULT_QUEUE.to_owned()),
        priority: section.integer("priority", -1_000_000..=1_000_000).unwrap_or(plain.priority),
        max_attempts: section.integer("max_attempts", 1..=1_000_000).unwrap_or(plain.max_attempts),
        timeout: section.span("timeout", Duration::from_millis(1)),
        kill_after: section.span("kill_after", Duration::ZERO).unwrap_or(plain.kill_after),
        retry: section.table("retry", retry).unwrap_or(plain.retry),
        payload: section.json("payload"),
        schedule: schedule.filter(|schedule| !schedule.recurrences.is_empty()),
        command,
        ..plain
    }
}

fn retry(section: &mut Section<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        delay: section.span("delay", Duration::ZERO).unwrap_or(default.delay),
        growth: section
            .choice("growth", &[("fixed", Growth::Fixed), ("exponential", Growth::Exponential)])
            .unwrap_or(default.growth),
        max_delay: section.span("max_delay", Duration::ZERO).unwrap_or(default.max_delay),
        jitter: section.fraction("jitter").unwrap_or(default.jitter),
    }
}

fn command(section: &mut Section<'_>) -> Option<CommandSpec> {
    let argv = section.texts("command");
    let env = section.text_table("env");
    let dir = section.text("dir").map(PathBuf::from);
    let output_limit = section.integer::<i64>("output_limit", 0..=1024 * 1024);
    let Some(argv) = argv else {
        for (key, given) in [("env", env.is_some()), ("dir", dir.is_some()), ("output_limit", output_limit.is_some())] {
            if given && section.node("command").is_none() {
                section.refuse(key, "it belongs to a `command`, and there is none");
            }
        }
        return None;
    };
    if argv.first().is_none_or(String::is_empty) {
        section.refuse("command", "the program is missing: write [\"program\", \"argument\", …]");
    }
    if argv.iter().chain(env.iter().flat_map(|env| env.keys().chain(env.values()))).any(|text| text.contains('\0')) {
        section.refuse("command", "a program's arguments and variables cannot contain NUL");
    }
    Some(CommandSpec {
        argv,
        env: env.unwrap_or_default(),
        dir,
        output_limit: output_limit.map_or(64 * 1024, |limit| limit as usize),
    })
}
