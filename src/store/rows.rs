//! Many rows as one parameter: a JSON array, which the database itself reads (see `Dialect::rows`).

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;
use serde_json::{Map, Value as Json};

use super::{StoreError, dialect::Dialect};
use crate::domain::task::claim::{Claim, ClaimIdentity};

/// Builds the array. Absent fields are omitted, and the database reads them as NULL.
pub(super) struct Rows {
    dialect: Dialect,
    rows: Vec<Json>,
}

/// Builds one row.
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

    /// The whole array as one parameter.
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

    /// Sets the columns `id`, `fence`, `enqueued_at` and `claimed_at` of a claim.
    pub(super) fn claim(&mut self, identity: ClaimIdentity) -> &mut Self {
        self.set("id", identity.claim.task_id)
            .set("fence", identity.claim.fence)
            .at("enqueued_at", identity.enqueued_at)
            .at("claimed_at", identity.claimed_at)
    }

    pub(super) fn at(&mut self, column: &str, at: impl Into<Option<DateTime<Utc>>>) -> &mut Self {
        let text = at.into().map(|at| self.dialect.instant(at));
        self.set(column, text)
    }

    /// Sets a column to the text of a JSON value.
    pub(super) fn json(&mut self, column: &str, value: Option<&impl ToString>) -> &mut Self {
        let text = value.map(ToString::to_string);
        self.set(column, text)
    }
}

/// Reads a claim from the columns `id` and `fence`.
pub(super) fn claim_of(row: &QueryResult) -> Result<Claim, StoreError> {
    Ok(Claim::new(row.try_get("", "id")?, row.try_get("", "fence")?))
}
