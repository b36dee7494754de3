//! SQLite: a file that is opened for reading only. A statement ends at its time limit, and when nobody waits for it.

use std::{
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _, query_with,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow},
};

use super::{
    collector::{ApplicationQuery, Collector, refused, unopened},
    parameters,
};
use crate::{
    domain::{sql_text::ParameterStyle, sweep::ColumnValue},
    store::StoreError,
};

/// How long a statement waits for a process that writes to the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// After this many steps of SQLite, the time is looked at.
const STEPS: i32 = 10_000;

/// Ends the statement when it is dropped.
pub(super) struct EndOnDrop(Arc<AtomicBool>);

impl EndOnDrop {
    /// Ends the statement.
    pub(super) fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.end();
    }
}

/// Has each statement of the session end at the time limit, and when the value is dropped.
pub(super) async fn end_on_drop(
    connection: &mut SqliteConnection,
    timeout: Option<Duration>,
) -> Result<EndOnDrop, StoreError> {
    let (is_over, started) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let end = EndOnDrop(is_over.clone());
    connection.lock_handle().await.map_err(refused)?.set_progress_handler(STEPS, move || {
        !is_over.load(Ordering::Relaxed) && timeout.is_none_or(|timeout| started.elapsed() < timeout)
    });
    Ok(end)
}

/// Reads the rows.
pub(super) async fn read(
    url: &str,
    query: &ApplicationQuery<'_>,
    collector: &mut Collector<'_>,
) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|error| unopened(&error))?;
    let options =
        options.create_if_missing(false).read_only(true).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| unopened(&error))?;
    connection.execute("PRAGMA query_only = ON").await.map_err(refused)?;
    let _end = end_on_drop(&mut connection, Some(query.timeout)).await?;
    let (sql, names) = query.select.with_parameters(ParameterStyle::QuestionMarks);
    let arguments = parameters::sqlite(&names, query.values).map_err(refused)?;
    let mut rows = query_with(AssertSqlSafe(sql), arguments).persistent(false).fetch(&mut connection);
    while let Some(row) = rows.try_next().await.map_err(refused)? {
        let columns: Vec<_> = (0..row.len()).map(|index| (row.column(index).name(), value(&row, index))).collect();
        if !collector.add(&columns)? {
            break;
        }
    }
    Ok(())
}

pub(super) fn value(row: &SqliteRow, index: usize) -> Result<ColumnValue, String> {
    let raw = row.try_get_raw(index).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(ColumnValue::Null);
    }
    let kind = raw.type_info().name().to_owned();
    let text = |error: sea_orm::sqlx::Error| error.to_string();
    Ok(match kind.as_str() {
        "REAL" => ColumnValue::Float(row.try_get_unchecked(index).map_err(text)?),
        "BLOB" => ColumnValue::Bytes(row.try_get_unchecked(index).map_err(text)?),
        "TEXT" => ColumnValue::Text(row.try_get_unchecked(index).map_err(text)?),
        _ => ColumnValue::Integer(row.try_get_unchecked::<i64, _>(index).map_err(text)?.to_string()),
    })
}
