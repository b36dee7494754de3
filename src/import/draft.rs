//! What an import produces: drafts of tasks, and notes about everything that is not carried over exactly.

use std::{fmt, time::Duration};

use chrono_tz::Tz;
use serde::Serialize;

use crate::domain::{command::CommandSpec, cron::CronExpr, schedule::policy::Policy};

/// What was understood of some files.
#[derive(Debug, Default)]
pub struct Import {
    /// The tasks, in the order of the files.
    pub drafts: Vec<ImportedTask>,
    /// What is not, or not quite, as it was.
    pub remarks: Vec<ImportNote>,
    /// Comments that stand behind the last entry, each without its `#`.
    pub closing: Vec<String>,
}

/// A `[task.NAME]` table to be written.
#[derive(Debug, PartialEq)]
pub struct ImportedTask {
    /// Its name.
    pub name: String,
    /// The comments above it, each without its `#`; an empty one is an empty line.
    pub comments: Vec<String>,
    /// What it runs.
    pub command: CommandSpec,
    /// When it recurs; nothing, if that could not be carried over.
    pub timings: Vec<Timing>,
    /// A random delay of each run, at most so long.
    pub jitter: Option<Duration>,
    /// What becomes of missed and of overlapping runs.
    pub policy: Policy,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How long it has to end by itself when it is stopped.
    pub kill_after: Option<Duration>,
}

/// One recurrence of a draft.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// A crontab expression that is known to be accepted.
    Cron {
        /// As it is written.
        expression: String,
        /// The zone, where one was named.
        zone: Option<Tz>,
    },
    /// An interval.
    Every(Duration),
}

/// Something that is not, or not quite, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportNote {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// How bad it is.
    pub kind: ImportNoteKind,
    /// In words.
    pub text: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportNoteKind {
    /// It is missing: somebody has to look after it.
    LeftOut,
    /// It is there, and does not behave in quite the same way.
    Differs,
}

impl Import {
    /// Whether something is missing.
    pub fn is_incomplete(&self) -> bool {
        self.remarks.iter().any(ImportNote::is_missing)
    }

    /// Adds what another file has given.
    pub fn append(&mut self, other: Self) {
        let mut drafts = other.drafts;
        // What stood at the end of the file before stands above the first entry of the next.
        if let Some(first) = drafts.first_mut() {
            first.comments.splice(0..0, std::mem::take(&mut self.closing));
        }
        self.drafts.extend(drafts);
        self.remarks.extend(other.remarks);
        self.closing.extend(other.closing);
    }

    pub(super) fn note(&mut self, file: &str, line: usize, kind: ImportNoteKind, text: impl Into<String>) {
        self.remarks.push(ImportNote { file: file.to_owned(), line, kind, text: text.into() });
    }
}

impl ImportNote {
    /// Whether something is missing, and not only different.
    pub fn is_missing(&self) -> bool {
        self.kind == ImportNoteKind::LeftOut
    }
}

impl fmt::Display for ImportNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ImportNoteKind::LeftOut => "left out",
            ImportNoteKind::Differs => "differs",
        };
        write!(f, "{}:{}: {kind}: {}", self.file, self.line, self.text)
    }
}

/// An expression, if the dialect has it. The dialect's own parser is asked, so that the import knows what it knows.
pub(super) fn accepted(expression: &str) -> Result<(), String> {
    expression.parse::<CronExpr>().map(|_| ()).map_err(|error| error.to_string())
}
