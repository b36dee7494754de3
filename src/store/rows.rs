//! Many rows as one parameter: a JSON array, read by the database itself (see `Dialect::rows`).

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use serde_json::{Map, Value as Json};

use super::{StoreError, dialect::Dialect};
use crate::domain::task::claim::Claim;

/// Builds the array. What is absent is left out, and read as NULL.
pub(super) struct Rows {
    dialect: Dialect,
    rows: Vec<Json>,
}

/// One row being built.
pub(super) struct Row {
    dialect: Dialect,
    fields: Map<String, Json>,
}

impl Rows {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, fill: impl FnOnce(&mut Row)) {
        let mut row = Row { dialect: self.dialect, fields: Map::new() };
        fill(&mut row);
        self.rows.push(Json::Object(row.fields));
    }

    /// The parameter.
    pub(super) fn into_value(self) -> sea_orm::Value {
        Json::Array(self.rows).to_string().into()
    }
}

impl Row {
    pub(super) fn set(&mut self, column: &str, value: impl Into<Json>) -> &mut Self {
        let value = value.into();
        if !value.is_null() {
            self.fields.insert(column.to_owned(), value);
        }
        self
    }

    /// A claim, as the columns `id` and `fence`.
    pub(super) fn claim(&mut self, claim: Claim) -> &mut Self {
        self.set("id", claim.task_id).set("fence", claim.fence)
    }

    pub(super) fn at(&mut self, column: &str, at: impl Into<Option<DateTime<Utc>>>) -> &mut Self {
        let text = at.into().map(|at| self.dialect.instant(at));
        self.set(column, text)
    }

    /// A JSON value travels as its text.
    pub(super) fn json(&mut self, column: &str, value: Option<&Json>) -> &mut Self {
        let text = value.map(ToString::to_string);
        self.set(column, text)
    }
}

/// The claim that a row has in its columns `id` and `fence`.
pub(super) fn claim_of(row: &QueryResult) -> Result<Claim, StoreError> {
    Ok(Claim::new(row.try_get("", "id")?, row.try_get("", "fence")?))
}
