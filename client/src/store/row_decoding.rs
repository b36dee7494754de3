//! Rows that can be read. Each row is decoded by itself: one that this program cannot read is left out and reported, and
//! the others count.

use chrono::{DateTime, Datelike as _, Utc};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait, FromQueryResult, IdenStatic as _, QueryFilter as _, QueryResult,
    QuerySelect as _, QueryTrait as _, Select, Statement, TryGetable,
    sqlx::{Column as _, Row as _, TypeInfo as _},
};

use super::{StoreError, TaskStore, error::is_beyond_memory};

/// PostgreSQL's instants count microseconds from 2000-01-01; this is the first one of the year 1.
const POSTGRES_FIRST: i64 = -63_082_281_600_000_000;
/// The first one of the year 10000.
const POSTGRES_END: i64 = 252_455_616_000_000_000;

/// Why a value cannot be read, with its column, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableColumn(pub String);

impl UnreadableColumn {
    fn new(column: &str, why: &str) -> Self {
        Self(format!("column {column} cannot be read: {why}"))
    }
}

/// Reads a column.
pub fn column<T: TryGetable>(row: &QueryResult, name: &str) -> Result<T, UnreadableColumn> {
    row.try_get("", name).map_err(|error| UnreadableColumn::new(name, &StoreError::from(error).cause()))
}

/// Reads an instant that must be there. MySQL and MariaDB have a zero date, which the driver reads as NULL.
pub fn existing_instant(row: &QueryResult, name: &str) -> Result<DateTime<Utc>, UnreadableColumn> {
    instant(row, name)?.ok_or_else(|| UnreadableColumn::new(name, "it is no instant"))
}

/// Reads an instant. The other databases and the text forms have the years 1 to 9999 only, and the driver of PostgreSQL
/// panics far beyond them.
pub fn instant(row: &QueryResult, name: &str) -> Result<Option<DateTime<Utc>>, UnreadableColumn> {
    let beyond = || UnreadableColumn::new(name, "the instant is beyond the years 1 to 9999");
    if let Some(row) = row.try_as_pg_row() {
        let micros = row.try_get_unchecked::<Option<i64>, _>(name);
        let micros = micros.map_err(|error| UnreadableColumn::new(name, &error.to_string()))?;
        if micros.is_some_and(|micros| !(POSTGRES_FIRST..POSTGRES_END).contains(&micros)) {
            return Err(beyond());
        }
    }
    let at: Option<DateTime<Utc>> = column(row, name)?;
    if at.is_some_and(|at| !(1..=9_999).contains(&at.year())) { Err(beyond()) } else { Ok(at) }
}

/// Checks every instant in the row, so that the driver of PostgreSQL does not panic.
fn check_instants(row: &QueryResult) -> Result<(), UnreadableColumn> {
    let Some(postgres) = row.try_as_pg_row() else { return Ok(()) };
    let mut instants = postgres.columns().iter().filter(|column| column.type_info().name() == "TIMESTAMPTZ");
    instants.try_for_each(|column| instant(row, column.name()).map(|_| ()))
}

/// Decodes one row.
pub fn model<M: FromQueryResult>(row: &QueryResult) -> Result<M, UnreadableColumn> {
    check_instants(row)?;
    M::from_query_result(row, "").map_err(|error| UnreadableColumn(StoreError::from(error).cause()))
}

/// The key of a row, for people.
fn key_of(row: &QueryResult, key: &str) -> String {
    let number = row.try_get::<i64>("", key).map(|number| number.to_string());
    number.or_else(|_| row.try_get::<String>("", key)).unwrap_or_else(|_| "?".to_owned())
}

impl TaskStore {
    /// The rows of a query that can be read. The others are reported by `table` and their `key`.
    pub async fn readable<M: FromQueryResult, C: ConnectionTrait>(
        &self,
        connection: &C,
        query: Statement,
        table: &str,
        key: &str,
    ) -> Result<Vec<M>, StoreError> {
        let rows = connection.query_all_raw(query).await?;
        Ok(self.decode(&rows, table, key))
    }

    /// The rows of a selection that can be read, by its own order. If the server cannot send all of them together, each
    /// row is read by itself, and what cannot be sent is reported by `table` and its number.
    pub async fn readable_selection<E: EntityTrait>(
        &self,
        select: Select<E>,
        id: E::Column,
        table: &str,
    ) -> Result<Vec<E::Model>, StoreError> {
        let error = match self.db.query_all_raw(select.clone().build(self.backend())).await {
            Ok(rows) => return Ok(self.decode(&rows, table, id.as_str())),
            Err(error) if is_beyond_memory(&error) => error,
            Err(error) => return Err(error.into()),
        };
        tracing::debug!("the rows of {table} are read one by one: {error}");
        let ids = self.db.query_all_raw(select.clone().select_only().column(id).build(self.backend())).await?;
        let mut readable = Vec::with_capacity(ids.len());
        for row in &ids {
            let number: i64 = row.try_get("", id.as_str())?;
            match self.db.query_all_raw(select.clone().filter(id.eq(number)).build(self.backend())).await {
                Ok(rows) => readable.extend(self.decode(&rows, table, id.as_str())),
                Err(error) if is_beyond_memory(&error) => {
                    let why = StoreError::from(error).cause();
                    self.isolated().note(format_args!("row {number} of {table} is left out"), why);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(readable)
    }

    /// Those of the rows that can be read. The others are reported by `table` and their `key`.
    pub fn decode<M: FromQueryResult>(&self, rows: &[QueryResult], table: &str, key: &str) -> Vec<M> {
        let mut readable = Vec::with_capacity(rows.len());
        for row in rows {
            match model(row) {
                Ok(model) => readable.push(model),
                Err(UnreadableColumn(why)) => {
                    self.isolated().note(format_args!("row {} of {table} is left out", key_of(row, key)), why);
                }
            }
        }
        readable
    }

    /// The only row of a query, if there is one.
    ///
    /// # Errors
    /// If it cannot be read, or the database refuses or does not answer.
    pub async fn readable_one<M: FromQueryResult>(
        &self,
        query: Statement,
        what: &str,
    ) -> Result<Option<M>, StoreError> {
        let row = self.db.query_one_raw(query).await?;
        let read = row.as_ref().map(model).transpose();
        read.map_err(|UnreadableColumn(why)| StoreError::Unreadable(format!("{what}: {why}")))
    }
}
