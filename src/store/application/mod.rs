//! A SELECT of the configuration on the database of an application: in a session of its own that only reads, with time
//! limits at the server, and never more rows or bytes than were asked for.

mod mysql;
mod parameters;
mod postgres;
mod sqlite;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sea_orm::{DbErr, RuntimeErr, sqlx};
use serde_json::Value;

use super::{
    ConnectOptions, DropInRuntime, StoreError,
    connection::{Target, on_driver},
    error::OpenFailure,
};
use crate::domain::{
    sql_text::SqlText,
    sweep::{ColumnValue, SelectedRow},
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

/// Reads rows of an application.
///
/// # Errors
/// If the database is not available, or refuses the statement; also if the columns do not suit.
pub async fn select(options: &ConnectOptions, query: &ApplicationQuery<'_>) -> Result<SelectedRows, StoreError> {
    // The application's tables are where the server looks for them.
    let options = ConnectOptions { schema: None, is_application: true, ..options.clone() };
    let target = Target::parse(&options).map_err(StoreError::InvalidUrl)?;
    let reading = async {
        let mut collector = Collector { query, bytes: 0, selected: SelectedRows::default() };
        match &target {
            Target::Postgres { hosts, .. } => {
                let mut connection = postgres::open(hosts, options.acquire_timeout).await?;
                postgres::read(&mut connection, query, &mut collector).await?;
            }
            Target::MySql(server) => {
                let mut connection = mysql::open(server, options.acquire_timeout).await?;
                mysql::read(&mut connection, query, &mut collector).await?;
            }
            Target::Sqlite(..) => sqlite::read(&options.url, query, &mut collector).await?,
        }
        Ok(collector.selected)
    };
    DropInRuntime::new(on_driver(reading)).await
}

/// Takes rows until there are enough.
struct Collector<'a> {
    query: &'a ApplicationQuery<'a>,
    bytes: usize,
    selected: SelectedRows,
}

impl Collector<'_> {
    /// Takes a row. Returns whether a further one is wanted.
    ///
    /// # Errors
    /// If the columns do not suit.
    fn add(&mut self, columns: &[(&str, Result<ColumnValue, String>)]) -> Result<bool, StoreError> {
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
fn unopened(error: &sqlx::Error) -> StoreError {
    DbErr::from(OpenFailure::from(error)).into()
}

/// The error of a server that takes too long.
fn silent(patience: Duration) -> StoreError {
    StoreError::Unavailable(format!("the server does not answer within {} ms", patience.as_millis()))
}

/// The error of a statement.
fn refused(error: sqlx::Error) -> StoreError {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))).into()
}
