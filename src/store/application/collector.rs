//! What is read from an application, row by row, and the errors of its database.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sea_orm::{DbErr, RuntimeErr, sqlx};
use serde_json::Value;

use crate::{
    domain::{
        sql_text::SqlText,
        sweep::{ColumnValue, SelectedRow},
    },
    store::{StoreError, error::OpenFailure},
};

/// The most bytes that are read at once.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What is read from an application.
#[derive(Clone, Copy, Debug)]
pub struct ApplicationQuery<'a> {
    /// The statement.
    pub select: &'a SqlText,
    /// The values of its placeholders.
    pub values: &'a BTreeMap<String, Value>,
    /// The column that identifies a row.
    pub key: &'a str,
    /// How many rows are wanted.
    pub limit: usize,
    /// The time limit that the server gets.
    pub timeout: Duration,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelectedRows {
    /// The rows, as many as were wanted at most.
    pub rows: Vec<SelectedRow>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Takes rows until there are enough.
pub(super) struct Collector<'a> {
    query: &'a ApplicationQuery<'a>,
    bytes: usize,
    selected: SelectedRows,
}

impl<'a> Collector<'a> {
    pub(super) fn new(query: &'a ApplicationQuery<'a>) -> Self {
        Self { query, bytes: 0, selected: SelectedRows::default() }
    }

    /// What was taken.
    pub(super) fn finish(self) -> SelectedRows {
        self.selected
    }

    /// Takes a row. Returns whether a further one is wanted.
    ///
    /// # Errors
    /// If the columns do not suit.
    pub(super) fn add(&mut self, columns: &[(&str, Result<ColumnValue, String>)]) -> Result<bool, StoreError> {
        if self.selected.rows.is_empty() {
            check_columns(self.query.key, columns)?;
        }
        if self.selected.rows.len() >= self.query.limit {
            self.selected.has_more = true;
            return Ok(false);
        }
        let row = SelectedRow::new(self.query.key, columns);
        self.bytes += row.bytes();
        if self.bytes > MAX_BYTES && !self.selected.rows.is_empty() {
            self.selected.has_more = true;
            return Ok(false);
        }
        self.selected.rows.push(row);
        Ok(true)
    }
}

fn check_columns(key: &str, columns: &[(&str, Result<ColumnValue, String>)]) -> Result<(), StoreError> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    if let Some(twice) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        let why = format!("the SELECT has two columns `{}`: give one of them another name with AS", twice.1);
        return Err(StoreError::Refused(why));
    }
    if !names.contains(&key) {
        let why = format!("the SELECT has no column `{key}`, which `key` names: it has {}", names.join(", "));
        return Err(StoreError::Refused(why));
    }
    Ok(())
}

/// The error of a session that could not be opened.
pub(super) fn unopened(error: &sqlx::Error) -> StoreError {
    DbErr::from(OpenFailure::from(error)).into()
}

/// The error of a server that takes too long.
pub(super) fn silent(patience: Duration) -> StoreError {
    StoreError::Unavailable(format!("the server does not answer within {} ms", patience.as_millis()))
}

/// The error of a statement.
pub(super) fn refused(error: sqlx::Error) -> StoreError {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
}

/// Whether the database's count of a statement is of rows that it changed. PostgreSQL also counts rows that were read.
pub(super) fn changes_rows(statement: &SqlText) -> bool {
    !matches!(statement.first_word(), "select" | "values" | "table" | "show" | "explain" | "fetch")
}
