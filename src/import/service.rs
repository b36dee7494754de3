//! The command of a service, its user and its limits.

use std::{path::PathBuf, time::Duration};

use super::{
    draft::{Import, ImportNoteKind},
    exec::{self, ExecStep},
    unit::{Setting, Unit, bytes, flag, span, words},
};
use crate::domain::command::CommandSpec;

/// The part of a draft that comes from a service.
pub(super) struct Service {
    pub(super) command: CommandSpec,
    pub(super) timeout: Option<Duration>,
    pub(super) kill_after: Option<Duration>,
}

/// Settings that can be dropped without a note.
const HARMLESS: &[(&str, &str)] = &[
    ("Unit", "Description"),
    ("Unit", "Documentation"),
    ("Unit", "DefaultDependencies"),
    ("Service", "SyslogIdentifier"),
    ("Install", "WantedBy"),
    ("Install", "RequiredBy"),
    ("Install", "Alias"),
    ("Install", "Also"),
    ("Install", "DefaultInstance"),
];

/// Adds a note for every setting of some sections that is not converted.
pub(super) fn report_rest(unit: &Unit, sections: &[&str], import: &mut Import) {
    for section in sections {
        for setting in unit.section(section) {
            if !HARMLESS.contains(&(section, setting.key.as_str())) && !setting.key.starts_with("X-") {
                left_out(import, setting, format!("{}={} has no counterpart", setting.key, setting.value));
            }
        }
    }
    let known = ["Unit", "Install", "Timer", "Service"];
    let mut others: Vec<&str> =
        unit.sections().filter(|name| !known.contains(name) && !name.starts_with("X-")).collect();
    others.dedup();
    for section in others {
        import.note(&unit.file, 1, ImportNoteKind::LeftOut, format!("the section [{section}] has no counterpart"));
    }
}

pub(super) fn left_out(import: &mut Import, setting: &Setting, text: String) {
    import.note(&setting.file, setting.line, ImportNoteKind::LeftOut, text);
}

/// Converts a service; none if it has no command.
pub(super) fn read(unit: &Unit, import: &mut Import) -> Option<Service> {
    let mut service = Service { command: CommandSpec::new(Vec::new()), timeout: None, kill_after: None };
    let settings = unit.section("Service");
    // Variables first: commands may refer to variables that are set below them.
    for setting in settings.iter().filter(|setting| setting.key == "Environment") {
        environment(unit, setting, &mut service.command, import);
    }
    let once = unit.get("Service", "Type").is_some_and(|setting| setting.value == "oneshot");
    for setting in &settings {
        if !execution(unit, setting, &mut service.command, import)
            && !time_limit(setting, once, &mut service, import)
            && !resource_limit(setting, &mut service.command, import)
        {
            other(setting, import);
        }
    }
    let mut steps: Vec<ExecStep> = Vec::new();
    let mut begun = false;
    for key in ["ExecStartPre", "ExecStart", "ExecStartPost"] {
        for setting in settings.iter().filter(|setting| setting.key == key) {
            match exec::steps(&setting.value, unit, &service.command.env) {
                Ok((more, notes)) => {
                    begun |= key == "ExecStart" && !more.is_empty();
                    steps.extend(more);
                    for (kind, text) in notes {
                        import.note(&setting.file, setting.line, kind, text);
                    }
                }
                Err(problem) => left_out(import, setting, format!("{key}={}: {problem}", setting.value)),
            }
        }
    }
    if !begun {
        import.note(&unit.file, 1, ImportNoteKind::LeftOut, "it has no command that can be read");
        return None;
    }
    service.command.argv = exec::command(steps);
    Some(service)
}

fn environment(unit: &Unit, setting: &Setting, command: &mut CommandSpec, import: &mut Import) {
    let words = match words(&setting.value) {
        Ok(words) => words,
        Err(problem) => return left_out(import, setting, format!("Environment={}: {problem}", setting.value)),
    };
    for (word, _) in words {
        let expanded = unit.expand(&word).map_err(|specifier| format!("`{specifier}` in `{word}` is not expanded"));
        match expanded.as_deref().map(|word| word.split_once('=')) {
            Ok(Some((name, _))) if name.starts_with("SEXTON_") || name.is_empty() => {
                left_out(import, setting, format!("`{word}` cannot be set"));
            }
            Ok(Some((name, value))) => {
                command.env.insert(name.to_owned(), value.to_owned());
            }
            Ok(None) => left_out(import, setting, format!("`{word}` is not an assignment")),
            Err(problem) => left_out(import, setting, problem.clone()),
        }
    }
}

/// User, directory, variables and exit codes. Returns whether the setting is one of these.
fn execution(unit: &Unit, setting: &Setting, command: &mut CommandSpec, import: &mut Import) -> bool {
    let text = unit.expand(&setting.value);
    let confines = &mut command.limits;
    let mut is_known = true;
    match (setting.key.as_str(), &text) {
        ("User", Ok(user)) => confines.user = Some(user.clone()),
        ("Group", Ok(group)) => confines.group = Some(group.clone()),
        ("WorkingDirectory", Ok(dir)) if dir.trim_start_matches('-').starts_with('/') => {
            command.dir = Some(PathBuf::from(dir.trim_start_matches('-')));
        }
        ("Nice", Ok(nice)) => match nice.parse().ok().filter(|nice| (-20..=19).contains(nice)) {
            Some(nice) => confines.nice = Some(nice),
            None => is_known = false,
        },
        ("UMask", Ok(mask)) => match u32::from_str_radix(mask, 8).ok().filter(|mask| *mask <= 0o777) {
            Some(mask) => confines.umask = Some(mask),
            None => is_known = false,
        },
        ("PassEnvironment", Ok(names)) => {
            let (own, others): (Vec<_>, Vec<_>) =
                names.split_whitespace().partition(|name| name.starts_with("SEXTON_"));
            command.pass_env.extend(others.into_iter().map(str::to_owned));
            is_known = own.is_empty();
        }
        ("SuccessExitStatus", Ok(codes)) => {
            for code in codes.split_whitespace() {
                match code.parse::<u8>() {
                    Ok(0) => {}
                    Ok(code) => command.success_codes.push(i32::from(code)),
                    Err(_) => {
                        left_out(import, setting, format!("`{code}` is not a number: it does not count as success"));
                    }
                }
            }
        }
        _ => is_known = false,
    }
    is_known
}

/// Time limits. Returns whether the setting is one of these.
fn time_limit(setting: &Setting, once: bool, service: &mut Service, import: &mut Import) -> bool {
    let starting = matches!(setting.key.as_str(), "TimeoutSec" | "TimeoutStartSec");
    let stopping = matches!(setting.key.as_str(), "TimeoutSec" | "TimeoutStopSec");
    let running = setting.key == "RuntimeMaxSec";
    if !starting && !stopping && !running {
        return false;
    }
    let length = span(&setting.value);
    let is_endless = setting.value == "infinity";
    if length.is_none() && !is_endless || stopping && !starting && is_endless {
        left_out(import, setting, format!("{}={} has no counterpart", setting.key, setting.value));
    }
    // The start of a oneshot service includes its work; other services run after their start. Zero means no limit.
    if (starting && once) || (running && !once) {
        service.timeout = length.filter(|length| *length >= Duration::from_millis(1));
    }
    if stopping && length.is_some() {
        service.kill_after = length;
    }
    true
}

/// Resource limits. Returns whether the setting is one of these.
fn resource_limit(setting: &Setting, command: &mut CommandSpec, import: &mut Import) -> bool {
    let confines = &mut command.limits;
    // Of `SOFT:HARD`, the soft limit applies.
    let value = setting.value.split(':').next().unwrap_or_default();
    let found = match setting.key.as_str() {
        "MemoryMax" | "MemoryLimit" => {
            bytes(value).filter(|bytes| *bytes > 0).map(|bytes| confines.memory = Some(bytes))
        }
        "LimitNOFILE" => value.parse().ok().filter(|count| *count >= 4).map(|count| confines.open_files = Some(count)),
        "LimitNPROC" => value.parse().ok().filter(|count| *count >= 1).map(|count| confines.processes = Some(count)),
        "LimitFSIZE" => bytes(value).map(|bytes| confines.file_size = Some(bytes)),
        "LimitCPU" => {
            span(value).map(|span| span.as_secs()).filter(|span| *span >= 1).map(|span| confines.cpu = Some(span))
        }
        _ => return false,
    };
    if found.is_none() && setting.value != "infinity" {
        left_out(import, setting, format!("{}={} has no counterpart", setting.key, setting.value));
    }
    true
}

/// Other settings: they are not needed, behave differently, or are missing.
fn other(setting: &Setting, import: &mut Import) {
    let key = setting.key.as_str();
    let value = setting.value.as_str();
    match (key, value) {
        ("ExecStart" | "ExecStartPre" | "ExecStartPost" | "Environment" | "SyslogIdentifier", _)
        | ("Type", "oneshot" | "simple" | "exec")
        | ("StandardOutput" | "StandardError", "journal" | "inherit" | "syslog")
        | ("StandardInput", "null")
        | ("Restart", "no") => {}
        ("Type", "forking") => left_out(
            import,
            setting,
            "Type=forking: the task is finished when its process ends, and what it leaves in the background is ended, \
             unless `keep_background = true`"
                .to_owned(),
        ),
        ("Type", _) => left_out(import, setting, format!("Type={value}: the task is finished when its process ends")),
        ("EnvironmentFile", file) => {
            let file = file.trim_start_matches('-');
            left_out(import, setting, format!("the variables in {file} are not read: write them to `env`"));
        }
        ("RemainAfterExit", _) if !flag(value) => {}
        ("Restart" | "RestartSec", _) => {
            left_out(import, setting, format!("{key}={value}: see `max_attempts` and `retry`"));
        }
        _ => left_out(import, setting, format!("{key}={value} has no counterpart")),
    }
}
