//! The format of a log line: readable text, or JSON.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use serde::{Serializer as _, ser::SerializeMap as _};
use serde_json::Value;
use tracing::Level;

use super::entry::LogEntry;
use crate::domain::{daemon::log::LogFormat, text::clean};

/// The style of a readable line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// With time stamp and level.
    Plain,
    /// As `Plain`, with colours.
    Colours,
    /// With a priority such as `<6>` (sd-daemon(3)) and without a time stamp, which the journal adds.
    Priorities,
}

/// The line, with its line break.
pub(super) fn line(entry: &LogEntry, format: LogFormat, style: Style) -> String {
    let line = match format {
        LogFormat::Text => text(entry, style),
        LogFormat::Json => json(entry),
    };
    match style {
        // systemd reads each line as an entry.
        Style::Priorities => {
            line.lines().fold(String::new(), |all, line| format!("{all}<{}>{line}\n", priority(entry.level)))
        }
        _ => line + "\n",
    }
}

/// The syslog priority of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// For example `2026-11-21 10:00:00.123Z  INFO cron: backup is due  task.id=7 attempt=1`.
fn text(entry: &LogEntry, style: Style) -> String {
    let (on, dim, off) = match (style, entry.level) {
        (Style::Plain | Style::Priorities, _) => ("", "", ""),
        (Style::Colours, Level::ERROR) => ("\x1b[31m", "\x1b[2m", "\x1b[0m"),
        (Style::Colours, Level::WARN) => ("\x1b[33m", "\x1b[2m", "\x1b[0m"),
        (Style::Colours, Level::INFO) => ("\x1b[32m", "\x1b[2m", "\x1b[0m"),
        (Style::Colours, _) => ("\x1b[36m", "\x1b[2m", "\x1b[0m"),
    };
    let mut line = String::new();
    if style != Style::Priorities {
        let at = entry.at.format("%Y-%m-%d %H:%M:%S%.3fZ");
        let _ = write!(line, "{dim}{at}{off} {on}{:>5}{off} ", entry.level);
    }
    line.push_str(&shown(&headline(entry.module.as_deref(), &entry.message)));
    if !entry.fields.is_empty() {
        let _ = write!(line, " {dim}");
        for (name, value) in &entry.fields {
            let value = match value {
                Value::String(text) => shown(text),
                other => other.to_string(),
            };
            let _ = write!(line, " {name}={value}");
        }
        line.push_str(off);
    }
    line
}

/// `module: message`
pub(super) fn headline(module: Option<&str>, message: &str) -> String {
    match module {
        Some(module) => format!("{module}: {message}"),
        None => message.to_owned(),
    }
}

/// The text without control characters, and with further lines indented: it cannot imitate another entry, or control
/// the terminal.
fn shown(text: &str) -> String {
    clean::lines(text).replace('\n', "\n    ")
}

/// The names that every JSON line has. An event's field of the same name gets the prefix `field.`.
const ALWAYS: [&str; 5] = ["timestamp", "level", "module", "message", "target"];

fn json(entry: &LogEntry) -> String {
    let mut line = Vec::new();
    // Writing to memory with text keys does not fail.
    let _ = json_into(entry, &mut line);
    String::from_utf8(line).unwrap_or_default()
}

fn json_into(entry: &LogEntry, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut serializer = serde_json::Serializer::new(line);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", &entry.at.to_rfc3339_opts(SecondsFormat::Micros, true))?;
    map.serialize_entry("level", &entry.level.to_string().to_lowercase())?;
    map.serialize_entry("module", &entry.module)?;
    map.serialize_entry("message", &entry.message)?;
    map.serialize_entry("target", &entry.target)?;
    for (name, value) in &entry.fields {
        match ALWAYS.contains(name) {
            true => map.serialize_entry(&format!("field.{name}"), value)?,
            false => map.serialize_entry(name, value)?,
        }
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn entry() -> LogEntry {
        LogEntry {
            at: chrono::Utc.with_ymd_and_hms(2026, 11, 21, 10, 0, 0).unwrap(),
            level: Level::WARN,
            target: "sexton::daemon".to_owned(),
            module: Some("cron".to_owned()),
            message: "two\nlines \x1b[2J".to_owned(),
            fields: vec![("task.id", 7.into()), ("level", "x\"y".into())],
        }
    }

    #[test]
    fn text_cannot_pretend() {
        assert_eq!(
            line(&entry(), LogFormat::Text, Style::Plain),
            "2026-11-21 10:00:00.000Z  WARN cron: two\n    lines \\u{1b}[2J  task.id=7 level=x\"y\n"
        );
        assert_eq!(
            line(&entry(), LogFormat::Text, Style::Priorities),
            "<4>cron: two\n<4>    lines \\u{1b}[2J  task.id=7 level=x\"y\n"
        );
    }

    #[test]
    fn json_has_stable_names_and_one_line() {
        let written = line(&entry(), LogFormat::Json, Style::Plain);
        assert_eq!(written.lines().count(), 1);
        assert!(
            written
                .starts_with("{\"timestamp\":\"2026-11-21T10:00:00.000000Z\",\"level\":\"warn\",\"module\":\"cron\"")
        );
        let read: Value = serde_json::from_str(&written).unwrap();
        let expected = serde_json::json!({
            "timestamp": "2026-11-21T10:00:00.000000Z", "level": "warn", "module": "cron",
            "message": "two\nlines \u{1b}[2J", "target": "sexton::daemon", "task.id": 7, "field.level": "x\"y",
        });
        assert_eq!(read, expected);
    }
}
