//! Mistakes in the configuration: where, what, and the way out.

use std::fmt;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlace {
    /// The file, or the environment variable.
    pub source: String,
    /// The line in the file, from 1.
    pub line: Option<usize>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: SourcePlace,
    /// The setting, such as `task.cleanup.timeout`.
    pub setting: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// All mistakes of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// Notes one.
    pub(super) fn add(&mut self, place: &SourcePlace, setting: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Mistake { place: place.clone(), setting: setting.into(), problem: problem.into() });
    }

    /// In the order of reading.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_by(|a, b| (&a.place.source, a.place.line).cmp(&(&b.place.source, b.place.line)));
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for SourcePlace {
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
            "" => write!(f, "{}: {}", self.place, self.problem),
            setting => write!(f, "{}: {setting}: {}", self.place, self.problem),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
