//! The result of an import: drafts of tasks, and notes about everything that is not converted exactly.

use std::{fmt, time::Duration};

use chrono_tz::Tz;
use serde::Serialize;

use crate::domain::{command::CommandSpec, cron::CronExpr, schedule::missed_policy::Policy};

/// Where the output of a draft goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedMail {
    /// Nowhere, by intention.
    Nowhere,
    /// To this channel.
    To(String),
}

/// A draft of a `[notify.NAME]` table: mail by the program sendmail, as cron sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedChannel {
    /// Its name.
    pub name: String,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
}

/// The result of an import.
#[derive(Debug, Default)]
pub struct Import {
    /// The channels of notices, each once.
    pub channels: Vec<ImportedChannel>,
    /// The tasks, in the order of the files.
    pub drafts: Vec<ImportedTask>,
    /// What is missing or behaves differently.
    pub notes: Vec<ImportNote>,
    /// Comments after the last entry, each without its `#`.
    pub trailing_comments: Vec<String>,
}

/// A draft of a `[task.NAME]` table.
#[derive(Debug, PartialEq)]
pub struct ImportedTask {
    /// Unique name.
    pub name: String,
    /// Comments above the table, each without its `#`; an empty comment is an empty line.
    pub comments: Vec<String>,
    /// The command and its environment.
    pub command: CommandSpec,
    /// The recurrences; empty if they could not be converted.
    pub timings: Vec<Timing>,
    /// Maximum random delay of each run.
    pub jitter: Option<Duration>,
    /// What happens to missed and to overlapping runs.
    pub policy: Policy,
    /// Where its output goes; none if the file does not say it.
    pub mail: Option<ImportedMail>,
    /// Time limit of a run.
    pub timeout: Option<Duration>,
    /// Time between the signal that stops a command and its kill.
    pub kill_after: Option<Duration>,
}

/// One recurrence of a draft.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// A valid crontab expression.
    Cron {
        /// The expression.
        expression: String,
        /// Its time zone, if one is named.
        zone: Option<Tz>,
    },
    /// An interval.
    Every(Duration),
}

/// A note about something that is missing or behaves differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportNote {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The kind of the note.
    pub kind: ImportNoteKind,
    /// The note, as a sentence.
    pub text: String,
}

/// The kind of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportNoteKind {
    /// It is missing, and needs attention.
    LeftOut,
    /// It is present, but behaves differently.
    Differs,
}

impl Import {
    /// Whether something is missing.
    pub fn is_incomplete(&self) -> bool {
        self.notes.iter().any(ImportNote::is_missing)
    }

    /// Appends the import of another file.
    pub fn append(&mut self, other: Self) {
        let mut drafts = other.drafts;
        // Comments at the end of the file before belong above the first entry of the next.
        if let Some(first) = drafts.first_mut() {
            first.comments.splice(0..0, std::mem::take(&mut self.trailing_comments));
        }
        for channel in other.channels {
            let old = ImportedMail::To(channel.name.clone());
            let new = ImportedMail::To(self.add_channel(channel));
            drafts
                .iter_mut()
                .filter(|draft| draft.mail.as_ref() == Some(&old))
                .for_each(|draft| draft.mail = Some(new.clone()));
        }
        self.drafts.extend(drafts);
        self.notes.extend(other.notes);
        self.trailing_comments.extend(other.trailing_comments);
    }

    /// Adds a channel, unless it is there. Returns its name, which has a number if another one has that name.
    pub(super) fn add_channel(&mut self, channel: ImportedChannel) -> String {
        let is_same = |known: &&ImportedChannel| (&known.from, &known.to) == (&channel.from, &channel.to);
        if let Some(known) = self.channels.iter().find(is_same) {
            return known.name.clone();
        }
        let is_taken = |name: &str| self.channels.iter().any(|known| known.name == name);
        let numbered = (2..).map(|number| format!("{}-{number}", channel.name));
        let mut names = std::iter::once(channel.name.clone()).chain(numbered);
        let name = names.find(|name| !is_taken(name)).unwrap_or_default();
        self.channels.push(ImportedChannel { name: name.clone(), ..channel });
        name
    }

    pub(super) fn note(&mut self, file: &str, line: usize, kind: ImportNoteKind, text: impl Into<String>) {
        self.notes.push(ImportNote { file: file.to_owned(), line, kind, text: text.into() });
    }
}

impl ImportNote {
    /// Whether something is missing.
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

/// Checks an expression with Sexton's own parser.
///
/// # Errors
/// If Sexton does not accept the expression. The error gives the reason.
pub(super) fn check_expression(expression: &str) -> Result<(), String> {
    expression.parse::<CronExpr>().map(|_| ()).map_err(|error| error.to_string())
}
