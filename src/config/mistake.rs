//! What is wrong with a configuration: the location, the problem, and the way out.

use std::{fmt, sync::Arc};

/// The location of a value in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The file, the environment variable (`$NAME`) or the option (`--NAME`).
    pub source: Arc<str>,
    /// The line in the file, from 1.
    pub line: Option<usize>,
}

/// One mistake. A configuration with a mistake is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The location of the value.
    pub location: SourceLocation,
    /// The setting, such as `task.cleanup.timeout`; empty if the mistake concerns a whole file.
    pub setting: String,
    /// The problem, and what would be valid.
    pub problem: String,
}

/// All mistakes of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

/// A warning about a setting that works, but should be written differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The location of the value.
    pub location: SourceLocation,
    /// The setting, such as `task.cleanup.user`; empty if the text names it.
    pub setting: String,
    /// The warning, as a sentence without a full stop.
    pub text: String,
}

/// Everything that the reader of a configuration reports.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) mistakes: Mistakes,
    pub(super) warnings: Vec<ConfigWarning>,
}

impl Findings {
    /// Adds a mistake.
    pub(super) fn add(&mut self, location: &SourceLocation, setting: impl Into<String>, problem: impl Into<String>) {
        let mistake = Mistake { location: location.clone(), setting: setting.into(), problem: problem.into() };
        self.mistakes.0.push(mistake);
    }

    /// Adds a warning.
    pub(super) fn warn(&mut self, location: &SourceLocation, text: String) {
        self.warnings.push(ConfigWarning { location: location.clone(), setting: String::new(), text });
    }

    /// Takes the warnings, sorted by file and line.
    pub(super) fn take_warnings(&mut self) -> Vec<ConfigWarning> {
        sort(&mut self.warnings);
        std::mem::take(&mut self.warnings)
    }
}

/// Sorts warnings by file and line.
pub(super) fn sort(warnings: &mut [ConfigWarning]) {
    warnings.sort_by(|a, b| a.location.order().cmp(&b.location.order()));
}

impl Mistakes {
    /// Sorts the mistakes by file and line.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| a.location.order().cmp(&b.location.order()));
        self
    }

    /// Whether the configuration is valid.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SourceLocation {
    /// By what locations are sorted.
    fn order(&self) -> (&str, Option<usize>) {
        (&self.source, self.line)
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.setting.as_str() {
            "" => write!(f, "{}: {}", self.location, self.problem),
            setting => write!(f, "{}: {setting}: {}", self.location, self.problem),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.setting.as_str() {
            "" => write!(f, "{}: {}", self.location, self.text),
            setting => write!(f, "{}: {setting}: {}", self.location, self.text),
        }
    }
}
