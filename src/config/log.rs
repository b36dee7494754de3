//! `[log]`.

use tracing_subscriber::EnvFilter;

use super::section::Section;
use crate::domain::daemon::log::{LogFormat, Rotation, directives};

/// What the daemon logs, and where its log files end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives such as `sexton=debug,sqlx=info`.
    pub level: String,
    /// Format of a line.
    pub format: LogFormat,
    /// When a log file is rotated.
    pub rotate: Rotation,
    /// Rotated log files are deleted after this number of days.
    pub days_to_keep: u32,
    /// Number of files that are kept of each log that is rotated by size.
    pub keep_files: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            rotate: Rotation::Daily,
            days_to_keep: 7,
            keep_files: 10,
        }
    }
}

impl LogConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let level = section.text("level").unwrap_or(default.level);
        let checked = directives(&level).and_then(|directives| {
            EnvFilter::try_new(directives).map_err(|error| format!("`{level}` is not a log filter: {error}"))
        });
        if let Err(problem) = checked {
            section.refuse("level", problem);
        }
        Self {
            level,
            format: section
                .choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])
                .unwrap_or(default.format),
            rotate: rotation(section).unwrap_or(default.rotate),
            days_to_keep: section.integer("days_to_keep", 1..=36_500).unwrap_or(default.days_to_keep),
            keep_files: section.integer("keep_files", 1..=100_000).unwrap_or(default.keep_files),
        }
    }
}

/// `"daily"`, or a size.
fn rotation(section: &mut Section<'_>) -> Option<Rotation> {
    match section.word("rotate") {
        Some("daily") => return Some(Rotation::Daily),
        Some(word) if !word.starts_with(|first: char| first.is_ascii_digit()) => {
            section.refuse("rotate", format!("`{word}` is not known, expected \"daily\" or a size such as \"10MiB\""));
            return None;
        }
        _ => {}
    }
    section.bytes("rotate", 4_096..=1 << 40).map(Rotation::Size)
}
