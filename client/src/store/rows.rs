//! Many rows as one parameter: a JSON array, which the database itself reads (see `Dialect::rows`).

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    TaskStore,
    dialect::{Dialect, Kind},
};

/// The column of a table of numbers.
pub const ID_COLUMN: [(&str, Kind); 1] = [("id", Kind::Integer)];

/// Builds the array. Absent fields are omitted, and the database reads them as NULL.
///
/// It writes the text as it goes: a batch has hundreds of rows with up to thirty fields, and a tree of them would cost more
/// than all else that a node does with a task.
pub struct Rows {
    dialect: Dialect,
    text: Vec<u8>,
}

/// Builds one row. Each column is set at most once.
pub struct Row<'a> {
    dialect: Dialect,
    text: &'a mut Vec<u8>,
    is_empty: bool,
}

impl Rows {
    /// An empty array.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, text: b"[".to_vec() }
    }

    /// Adds a row, which `fill` fills in.
    pub fn push(&mut self, fill: impl FnOnce(&mut Row<'_>)) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        self.text.extend_from_slice(b"{");
        fill(&mut Row { dialect: self.dialect, text: &mut self.text, is_empty: true });
        self.text.extend_from_slice(b"}");
    }

    /// The whole array as one parameter.
    pub fn into_value(mut self) -> sea_orm::Value {
        self.text.push(b']');
        // It is UTF-8, as all JSON is that serde writes.
        String::from_utf8(self.text).unwrap_or_default().into()
    }
}

impl Row<'_> {
    /// Sets a column. None leaves it out.
    pub fn set(&mut self, column: &'static str, value: impl Serialize) -> &mut Self {
        let before = self.text.len();
        if !self.is_empty {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(column.as_bytes());
        self.text.extend_from_slice(b"\":");
        let begin = self.text.len();
        // Numbers, texts and truth values can always be written, and memory does not refuse.
        match serde_json::to_writer(&mut *self.text, &value) {
            Ok(()) if self.text[begin..] != *b"null" => self.is_empty = false,
            _ => self.text.truncate(before),
        }
        self
    }

    /// Sets a column to an instant.
    pub fn at(&mut self, column: &'static str, at: impl Into<Option<DateTime<Utc>>>) -> &mut Self {
        let text = at.into().map(|at| self.dialect.instant(at));
        self.set(column, text)
    }

    /// Sets a column to the text of a JSON value.
    pub fn json(&mut self, column: &'static str, value: Option<&impl ToString>) -> &mut Self {
        let text = value.map(ToString::to_string);
        self.set(column, text)
    }
}

impl TaskStore {
    /// Task numbers as one parameter, for a table with [`ID_COLUMN`].
    pub fn ids(&self, ids: impl IntoIterator<Item = i64>) -> sea_orm::Value {
        let mut rows = Rows::new(self.dialect);
        for id in ids {
            rows.push(|row| {
                row.set("id", id);
            });
        }
        rows.into_value()
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::Value;

    use super::*;

    #[test]
    fn rows_are_json_without_what_is_absent() {
        let mut rows = Rows::new(Dialect::Sqlite);
        rows.push(|row| {
            row.set("none", None::<i32>).set("id", i64::MAX).set("text", "a \"quoted\" ü\0").at("at", None);
        });
        rows.push(|row| {
            row.set("is", true).json("json", Some(&"{\"a\": null}")).set("last", Some("null"));
        });
        let Value::String(Some(text)) = rows.into_value() else { panic!("no text") };
        let expected = r#"[{"id":9223372036854775807,"text":"a \"quoted\" ü\u0000"},{"is":true,"json":"{\"a\": null}","last":"null"}]"#;
        assert_eq!(*text, *expected);
        let Value::String(Some(empty)) = Rows::new(Dialect::Sqlite).into_value() else { panic!("no text") };
        assert_eq!(*empty, *"[]");
    }
}
