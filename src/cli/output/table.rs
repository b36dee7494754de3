//! Tables: columns that know how they give way, and their drawing.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets::ASCII_BORDERS_ONLY_CONDENSED as ASCII_BORDERS};
use sexton_entities::states::{Outcome, Verdict};

use super::terminal::Terminal;
use crate::domain::text::{
    clean, columns,
    columns::ColumnNeed,
    wrap::{elided, longest_piece, width, wrapped},
};

/// Space beside each cell, with one column between two cells.
const FRAME: usize = 3;
/// Names are at least this wide.
const MIN_NAME: usize = 14;
/// Texts are at least this wide.
const MIN_TEXT: usize = 20;

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// A number, a time or a word, which is shown whole.
    Value,
    /// The word of a state, an outcome or a verdict, which is coloured.
    Word,
    /// A name, which may lose its end.
    Name,
    /// Sentences, which may take several lines.
    Prose,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Column {
    title: String,
    content: Content,
    leaves: u8,
}

impl Column {
    fn new(title: impl Into<String>, content: Content) -> Self {
        Self { title: title.into(), content, leaves: 0 }
    }

    /// Numbers, times and plain words.
    pub(in crate::cli) fn value(title: &str) -> Self {
        Self::new(title, Content::Value)
    }

    /// States, outcomes and verdicts.
    pub(in crate::cli) fn word(title: &str) -> Self {
        Self::new(title, Content::Word)
    }

    /// Names.
    pub(in crate::cli) fn name(title: &str) -> Self {
        Self::new(title, Content::Name)
    }

    /// Sentences, and whatever has no better description.
    pub(in crate::cli) fn prose(title: impl Into<String>) -> Self {
        Self::new(title, Content::Prose)
    }

    /// The column leaves a table that is too wide: those with the highest number first.
    pub(in crate::cli) fn leaves(self, rank: u8) -> Self {
        Self { leaves: rank, ..self }
    }

    fn need(&self, cells: impl Iterator<Item = impl AsRef<str>> + Clone) -> ColumnNeed {
        let title = width(&self.title);
        let widest = |of: fn(&str) -> usize| cells.clone().map(|cell| of(cell.as_ref())).max().unwrap_or(0).max(title);
        let natural = widest(width);
        let least = match self.content {
            Content::Value | Content::Word => natural,
            Content::Name => natural.min(MIN_NAME.max(title)),
            Content::Prose => natural.min(widest(longest_piece).min(MIN_TEXT).max(title)),
        };
        ColumnNeed { natural, least, leaves: self.leaves }
    }

    /// The lines of a cell.
    fn shown(&self, text: &str, most: usize) -> String {
        match self.content {
            Content::Prose if width(text) > most => wrapped(text, most).join("\n"),
            _ => elided(text, most),
        }
    }

    fn colour(&self, text: &str) -> Option<Color> {
        if self.content == Content::Word { colour(text) } else { None }
    }
}

/// Red for what failed, yellow for what needs attention.
fn colour(word: &str) -> Option<Color> {
    let is_failure = matches!(Outcome::from_word(word), Some(Outcome::Failed | Outcome::TimedOut | Outcome::Crashed))
        || Verdict::from_word(word) == Some(Verdict::Discarded)
        || matches!(word, "dead" | "waiting for database" | "not run");
    let is_notable = matches!(Outcome::from_word(word), Some(Outcome::Interrupted | Outcome::Superseded))
        || matches!(word, "retry" | "retryable" | "paused" | "quiet" | "draining" | "late" | "starting");
    match (is_failure, is_notable) {
        (true, _) => Some(Color::Red),
        (_, true) => Some(Color::Yellow),
        _ => None,
    }
}

/// The table as text. Columns that did not fit are named below it.
pub(super) fn drawn(columns: &[Column], rows: &[Vec<String>], terminal: Terminal) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean::one_line(cell)).collect()).collect();
    let needs: Vec<ColumnNeed> = (0..columns.len())
        .map(|place| columns[place].need(rows.iter().map(move |row| row.get(place).map_or("", String::as_str))))
        .collect();
    let widths = match terminal.width {
        Some(width) => columns::fitted(&needs, width.saturating_sub(1), FRAME),
        None => needs.iter().map(|need| Some(need.natural)).collect(),
    };
    let kept = || {
        columns.iter().zip(&widths).enumerate().filter_map(|(place, (column, width))| Some((place, column, (*width)?)))
    };
    let mut table = Table::new();
    table.load_style(ASCII_BORDERS).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(kept().map(|(_, column, _)| clean::one_line(&column.title)));
    for row in &rows {
        let cell = |(place, column, most): (usize, &Column, usize)| {
            let text = row.get(place).map_or("", String::as_str);
            let cell = Cell::new(column.shown(text, most));
            match column.colour(text) {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        };
        table.add_row(kept().map(cell));
    }
    table.force_no_tty();
    if terminal.has_colours {
        table.enforce_styling();
    }
    let left: Vec<&str> = columns
        .iter()
        .zip(&widths)
        .filter(|(_, width)| width.is_none())
        .map(|(column, _)| column.title.as_str())
        .collect();
    let note = if left.is_empty() { String::new() } else { format!("no room for: {}\n", left.join(", ")) };
    format!("{table}\n{note}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> [Column; 5] {
        [
            Column::value("Task"),
            Column::name("Name"),
            Column::word("Verdict").leaves(1),
            Column::value("Node").leaves(2),
            Column::prose("Error"),
        ]
    }

    fn row() -> Vec<String> {
        let error =
            "exit code 255: PHP Warning: Undefined variable $x in /srv/shop/src/Command/Invoice/SendCommand.php";
        ["4711", "invoice-send-reminders", "discarded", "shop01-0123456789ab", error].map(str::to_owned).to_vec()
    }

    fn drawn_at(width: Option<usize>, has_colours: bool) -> String {
        drawn(&columns(), &[row()], Terminal { width, has_colours })
    }

    #[test]
    fn no_word_is_broken_at_80_columns() {
        let table = drawn_at(Some(80), false);
        assert!(table.lines().all(|line| width(line) < 80), "{table}");
        for word in ["4711", "discarded", "Undefined", "variable", "SendCommand.php"] {
            assert!(table.contains(word), "{word} is not whole:\n{table}");
        }
        assert!(table.ends_with("no room for: Node\n"), "{table}");
    }

    #[test]
    fn without_a_terminal_nothing_is_shortened() {
        let table = drawn_at(None, false);
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(row().iter().all(|cell| table.contains(cell.as_str())), "{table}");
    }

    #[test]
    fn failures_are_coloured_if_colours_are_wanted() {
        assert!(!drawn_at(None, false).contains('\u{1b}'));
        assert!(drawn_at(None, true).contains("\u{1b}[38;5;9m"), "{:?}", drawn_at(None, true));
    }

    #[test]
    fn a_cell_cannot_control_the_terminal_or_add_a_row() {
        let table = drawn(
            &[Column::name("Name")],
            &[vec!["a\n\u{1b}[2Jb".to_owned()]],
            Terminal { width: None, has_colours: true },
        );
        assert!(table.contains("a\\n\\u{1b}[2Jb"), "{table}");
        assert_eq!(table.lines().count(), 5);
    }
}
