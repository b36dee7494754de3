//! Tables for people, JSON for programs.

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table, presets::ASCII_BORDERS_ONLY_CONDENSED as ASCII_BORDERS};
use serde::Serialize;

/// Prints a line.
macro_rules! print_line {
    ($($words:tt)*) => {
        $crate::cli::output::print(&format!("{}\n", format_args!($($words)*)))
    };
}
pub(super) use print_line;

/// Prints text. If the reader has closed the pipe (`sexton task list | head`), the process ends.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // The exit code of a program that SIGPIPE has ended.
        let is_closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        if !is_closed {
            eprintln!("sexton: standard output: {error}");
        }
        std::process::exit(if is_closed { 128 + signal_hook::consts::SIGPIPE } else { 1 });
    }
}

/// Prints results as tables or as JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    json: bool,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// A list: a JSON array of objects or a table. `none` is printed instead of an empty table.
    pub(super) fn list<T: Serialize, const N: usize>(
        self,
        rows: &[T],
        columns: [&str; N],
        none: &str,
        cells: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<()> {
        if self.json {
            return self.value(rows);
        }
        let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row).to_vec()).collect();
        self.table(&columns.map(str::to_owned), &cells, none);
        Ok(())
    }

    /// A table. `none` is printed instead of an empty one.
    pub(super) fn table(self, columns: &[String], rows: &[Vec<String>], none: &str) {
        if rows.is_empty() {
            print_line!("{none}");
            return;
        }
        let mut table = Table::new();
        table.load_style(ASCII_BORDERS).set_content_arrangement(ContentArrangement::Dynamic).set_header(columns);
        for row in rows {
            table.add_row(row);
        }
        print_line!("{table}");
    }

    /// A value, as JSON.
    pub(super) fn value<T: Serialize + ?Sized>(self, value: &T) -> anyhow::Result<()> {
        print_line!("{}", serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// The result of a command: a sentence, or a JSON object.
    pub(super) fn report(self, sentence: &str, object: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            return self.value(object);
        }
        print_line!("{sentence}");
        Ok(())
    }
}

/// A value, or `-` if it is absent.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
