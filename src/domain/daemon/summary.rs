//! The summary of a daemon module: tables, as the users of OTRS know them.

use serde::{Deserialize, Serialize};

/// One table of a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryTable {
    /// Title above the table.
    pub header: String,
    /// Titles of the columns.
    pub columns: Vec<String>,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
    /// Text that is shown instead of an empty table.
    pub none: String,
}

impl SummaryTable {
    /// An empty table.
    pub fn new(header: &str, columns: &[&str], none: &str) -> Self {
        Self {
            header: header.to_owned(),
            columns: columns.iter().map(|title| (*title).to_owned()).collect(),
            rows: Vec::new(),
            none: none.to_owned(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}
