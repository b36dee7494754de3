//! Many rows as one parameter: a JSON array, which the database itself reads (see `Dialect::rows`).

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json};

use super::{
    TaskStore,
    dialect::{Dialect, Kind},
};

/// The column of a table of numbers.
pub const ID_COLUMN: [(&str, Kind); 1] = [("id", Kind::Integer)];

/// Builds the array. Absent fields are omitted, and the database reads them as NULL.
pub struct Rows {
    dialect: Dialect,
    rows: Vec<Json>,
}

/// Builds one row.
pub struct Row {
    dialect: Dialect,
    fields: Map<String, Json>,
}

impl Rows {
    /// An empty array.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, rows: Vec::new() }
    }

    /// Adds a row, which `fill` fills in.
    pub fn push(&mut self, fill: impl FnOnce(&mut Row)) {
        let mut row = Row { dialect: self.dialect, fields: Map::new() };
        fill(&mut row);
        self.rows.push(Json::Object(row.fields));
    }

    /// The whole array as one parameter.
    pub fn into_value(self) -> sea_orm::Value {
        Json::Array(self.rows).to_string().into()
    }
}

impl Row {
    /// Sets a column.
    pub fn set(&mut self, column: &str, value: impl Into<Json>) -> &mut Self {
        let value = value.into();
        if !value.is_null() {
            self.fields.insert(column.to_owned(), value);
        }
        self
    }

    /// Sets a column to an instant.
    pub fn at(&mut self, column: &str, at: impl Into<Option<DateTime<Utc>>>) -> &mut Self {
        let text = at.into().map(|at| self.dialect.instant(at));
        self.set(column, text)
    }

    /// Sets a column to the text of a JSON value.
    pub fn json(&mut self, column: &str, value: Option<&impl ToString>) -> &mut Self {
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
