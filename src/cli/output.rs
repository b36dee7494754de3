//! Tables for people, JSON for programs.

use comfy_table::{ContentArrangement, Table, presets::ASCII_BORDERS_ONLY_CONDENSED as ASCII_BORDERS};
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// A list: a JSON array of objects, or a table, or what is said instead of an empty one.
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

    /// A table, for people.
    pub(super) fn table(self, columns: &[String], rows: &[Vec<String>], none: &str) {
        if rows.is_empty() {
            println!("{none}");
            return;
        }
        let mut table = Table::new();
        table.load_style(ASCII_BORDERS).set_content_arrangement(ContentArrangement::Dynamic).set_header(columns);
        for row in rows {
            table.add_row(row);
        }
        println!("{table}");
    }

    /// A value, as JSON.
    pub(super) fn value<T: Serialize + ?Sized>(self, value: &T) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// What was done: a sentence, or an object.
    pub(super) fn done(self, sentence: &str, object: &serde_json::Value) -> anyhow::Result<()> {
        if self.json {
            return self.value(object);
        }
        println!("{sentence}");
        Ok(())
    }
}

/// A value that may be absent.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
