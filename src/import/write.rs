//! Writes drafts as TOML, each below its comments.

use std::{fmt::Write as _, time::Duration};

use toml::{Table, Value};

use super::draft::{Import, ImportedMail, ImportedTask, Timing};
use crate::domain::schedule::missed_policy::{Missed, Overlap};

/// The import as the text of a configuration file. `heading` are comments at its top.
pub fn toml(import: &Import, heading: &[String]) -> String {
    let mut text = String::new();
    comments(&mut text, heading);
    for channel in &import.channels {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n[notify.{}]\nkind = \"mail\"", channel.name);
        let _ = writeln!(text, "sendmail = [\"/usr/sbin/sendmail\", \"-t\", \"-i\"]");
        let _ = writeln!(text, "from = {}", Value::from(channel.from.clone()));
        let _ = writeln!(text, "to = {}", Value::from(channel.to.clone()));
    }
    for draft in &import.drafts {
        text.push('\n');
        comments(&mut text, &draft.comments);
        task(&mut text, draft);
    }
    if !import.trailing_comments.is_empty() {
        text.push('\n');
        comments(&mut text, &import.trailing_comments);
    }
    text
}

fn comments(text: &mut String, lines: &[String]) {
    for line in lines {
        // TOML allows no control characters in comments.
        let line: String = line.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
        let line = line.trim_end();
        text.push_str(if line.is_empty() { "" } else { "#" });
        text.push_str(line);
        text.push('\n');
    }
}

fn task(text: &mut String, draft: &ImportedTask) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "[task.{}]", draft.name);
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{key} = {value}");
        }
    };
    let command = &draft.command;
    let confines = &command.limits;
    set("command", Some(command.argv.clone().into()));
    set("schedule", schedule(&draft.timings, draft.jitter));
    let skips = |skips: bool| (skips && !draft.timings.is_empty()).then(|| Value::from("skip"));
    set("missed", skips(draft.policy.missed == Missed::Skip));
    let overlap = match draft.policy.overlap {
        Overlap::Allow => None,
        Overlap::Skip => Some("skip"),
        Overlap::Queue => Some("queue"),
    };
    set("overlap", overlap.filter(|_| !draft.timings.is_empty()).map(Value::from));
    set("timeout", draft.timeout.map(length));
    set("kill_after", draft.kill_after.map(length));
    set("user", confines.user.clone().map(Value::from));
    set("group", confines.group.clone().map(Value::from));
    set("dir", command.dir.as_ref().map(|dir| dir.display().to_string().into()));
    let variables: Table = command.env.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    set("env", some(variables));
    set("pass_env", (!command.pass_env.is_empty()).then(|| command.pass_env.clone().into()));
    set("umask", confines.umask.map(|mask| format!("{mask:03o}").into()));
    set("nice", confines.nice.map(|nice| i64::from(nice).into()));
    let number = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok()).map(Value::from);
    let limits = [
        ("memory", number(confines.memory)),
        ("cpu", confines.cpu.map(|seconds| length(Duration::from_secs(seconds)))),
        ("open_files", number(confines.open_files)),
        ("processes", number(confines.processes)),
        ("file_size", number(confines.file_size)),
    ];
    set("limits", some(limits.into_iter().filter_map(|(key, limit)| Some((key.to_owned(), limit?))).collect()));
    let codes = &command.success_codes;
    match &draft.mail {
        Some(ImportedMail::To(channel)) => {
            set("mail_output", Some("always".into()));
            set("mail_output_to", Some(vec![channel.clone()].into()));
            set("notify", Some(Vec::<String>::new().into()));
        }
        Some(ImportedMail::Nowhere) => set("mail_output", Some("never".into())),
        None => {}
    }
    set("success_codes", (codes != &[0]).then(|| codes.iter().map(|code| i64::from(*code)).collect::<Vec<_>>().into()));
}

fn some(table: Table) -> Option<Value> {
    (!table.is_empty()).then_some(Value::Table(table))
}

fn length(length: Duration) -> Value {
    humantime::format_duration(length).to_string().into()
}

/// A single expression in its short form, otherwise a table; several as a list. The first one has the jitter of all.
fn schedule(timings: &[Timing], jitter: Option<Duration>) -> Option<Value> {
    let one = |(index, timing): (usize, &Timing)| {
        let mut table = match timing {
            Timing::Cron { expression, .. } => Table::from_iter([("cron".to_owned(), expression.clone().into())]),
            Timing::Every(interval) => Table::from_iter([("every".to_owned(), length(*interval))]),
        };
        if let Timing::Cron { zone: Some(zone), .. } = timing {
            table.insert("timezone".to_owned(), zone.name().into());
        }
        table.extend(jitter.filter(|_| index == 0).map(|jitter| ("jitter".to_owned(), length(jitter))));
        match timing {
            Timing::Cron { expression, .. } if table.len() == 1 => Value::from(expression.clone()),
            _ => Value::Table(table),
        }
    };
    let mut written: Vec<Value> = timings.iter().enumerate().map(one).collect();
    match written.len() {
        0 => None,
        1 => written.pop(),
        _ => Some(Value::Array(written)),
    }
}
