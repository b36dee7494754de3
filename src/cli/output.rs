//! What the command line prints: tables for people, JSON for programs. Everything that goes to a terminal is cleaned here.

mod table;
mod terminal;

use std::io::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

pub(super) use self::table::Column;
use self::terminal::Terminal;
use crate::{
    clock::machine_time,
    domain::text::{clean, instant},
};

/// Prints a line. What would break or control the line is shown as an escape.
macro_rules! print_line {
    ($($words:tt)*) => {
        $crate::cli::output::print_text(&format!("{}\n", $crate::domain::text::clean::one_line(&format!($($words)*))))
    };
}
pub(super) use print_line;

/// Prints a message on standard error. Line breaks remain; what would control the terminal is shown as an escape.
macro_rules! print_error {
    ($($words:tt)*) => {
        eprintln!("{}", $crate::domain::text::clean::lines(&format!($($words)*)))
    };
}
pub(super) use print_error;

/// Prints clean text: only line breaks and tabs are left of its control characters.
pub(super) fn print_text(text: &str) {
    print_raw(clean::lines(text).as_bytes());
}

/// Prints bytes as they are. If the reader has closed the pipe (`sexton task list | head`), the process ends.
pub(super) fn print_raw(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // The exit code of a program that SIGPIPE has ended.
        let is_closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        if !is_closed {
            print_error!("sexton: standard output: {error}");
        }
        std::process::exit(if is_closed { 128 + signal_hook::consts::SIGPIPE } else { 1 });
    }
}

/// Prints results as tables or as JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    json: bool,
    terminal: Terminal,
    zone: Tz,
    now: DateTime<Utc>,
}

impl Printer {
    /// Prints for a reader in that time zone.
    pub(super) fn new(json: bool, zone: Tz) -> Self {
        Self { json, terminal: Terminal::of_stdout(), zone, now: machine_time() }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person reads it on a terminal.
    pub(super) fn is_terminal(self) -> bool {
        self.terminal.width.is_some()
    }

    /// The width of the terminal; none in a file.
    pub(super) fn width(self) -> Option<usize> {
        self.terminal.width
    }

    /// The time zone of the reader.
    pub(super) fn zone(self) -> Tz {
        self.zone
    }

    /// An instant for the reader.
    pub(super) fn time(self, at: DateTime<Utc>) -> String {
        instant::short(at, self.zone, self.now)
    }

    /// A sentence about schedules or problems, with its instants for the reader.
    pub(super) fn sentence(self, text: &str) -> String {
        instant::in_zone(text, self.zone, self.now)
    }

    /// An instant that may be absent.
    pub(super) fn time_or_dash(self, at: Option<DateTime<Utc>>) -> String {
        or_dash(at.map(|at| self.time(at)))
    }

    /// A list: a JSON array of objects or a table. `none` is printed instead of an empty table.
    pub(super) fn list<T: Serialize, const N: usize>(
        self,
        rows: &[T],
        columns: [Column; N],
        none: &str,
        cells: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<()> {
        if self.json {
            return self.value(rows);
        }
        let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row).to_vec()).collect();
        self.table(&columns, &cells, none);
        Ok(())
    }

    /// Says that a list is cut, below its table: `shown` rows of a list that ends at `limit`.
    pub(super) fn note_limit(self, shown: usize, limit: u64, way_out: &str) {
        if !self.json && shown as u64 >= limit {
            match limit {
                1 => print_line!("One is shown: {way_out} shows more."),
                _ => print_line!("At most {limit} are shown: {way_out} shows more."),
            }
        }
    }

    /// A table. `none` is printed instead of an empty one.
    pub(super) fn table(self, columns: &[Column], rows: &[Vec<String>], none: &str) {
        if rows.is_empty() {
            print_line!("{none}");
            return;
        }
        print_raw(table::drawn(columns, rows, self.terminal).as_bytes());
    }

    /// A value, as JSON.
    pub(super) fn value<T: Serialize + ?Sized>(self, value: &T) -> anyhow::Result<()> {
        print_raw((clean::json(&serde_json::to_string_pretty(value)?) + "\n").as_bytes());
        Ok(())
    }

    /// The result of a command: a sentence, or a JSON object.
    pub(super) fn report(self, sentence: &str, object: &impl Serialize) -> anyhow::Result<()> {
        self.report_lines(&[sentence], object)
    }

    /// The result of a command: a sentence and further lines, or a JSON object.
    pub(super) fn report_lines(self, lines: &[impl AsRef<str>], object: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            return self.value(object);
        }
        for line in lines {
            print_line!("{}", line.as_ref());
        }
        Ok(())
    }
}

/// A value, or `-` if it is absent.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
