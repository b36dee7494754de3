//! MariaDB and MySQL: a read-only transaction, with the limits of the session. Rows are read one by one.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use futures::TryStreamExt as _;
use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Decode, Executor as _, MySql, Row as _, Type, TypeInfo as _,
    ValueRef as _,
    mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, types::MySqlTime},
    query_with, raw_sql,
};

use super::{
    collector::{ApplicationQuery, Collector, refused, silent, unopened},
    parameters,
};
use crate::{
    domain::{sql_text::ParameterStyle, sweep::ColumnValue},
    store::StoreError,
};

/// Opens a session.
pub(super) async fn open(server: &MySqlConnectOptions, patience: Duration) -> Result<MySqlConnection, StoreError> {
    match tokio::time::timeout(patience, server.connect()).await {
        Ok(opened) => opened.map_err(|error| unopened(&error)),
        Err(_) => Err(silent(patience)),
    }
}

/// Reads the rows.
pub(super) async fn read(
    connection: &mut MySqlConnection,
    query: &ApplicationQuery<'_>,
    collector: &mut Collector<'_>,
) -> Result<(), StoreError> {
    let (sql, names) = query.select.with_parameters(ParameterStyle::QuestionMarks);
    let arguments = parameters::mysql(&names, query.values).map_err(refused)?;
    let millis = query.timeout.as_millis().max(1);
    // What follows `M!` is for MariaDB alone, and what follows `!80000` for MySQL.
    let begin = format!(
        "SET SESSION sql_select_limit = {} /*M!100300 , max_statement_time = {}.{:03} */ \
         /*!80000 , max_execution_time = {millis} */; START TRANSACTION READ ONLY",
        query.limit + 1,
        millis / 1_000,
        millis % 1_000,
    );
    connection.execute(raw_sql(AssertSqlSafe(begin))).await.map_err(refused)?;
    let mut rows = query_with(AssertSqlSafe(sql), arguments).persistent(false).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await.map_err(refused)? {
        let columns: Vec<_> = (0..row.len()).map(|index| (row.column(index).name(), value(&row, index))).collect();
        if !collector.add(&columns)? {
            break;
        }
    }
    Ok(())
}

fn get<'r, T: Decode<'r, MySql> + Type<MySql>>(row: &'r MySqlRow, index: usize) -> Result<T, String> {
    row.try_get_unchecked(index).map_err(|error| error.to_string())
}

pub(super) fn value(row: &MySqlRow, index: usize) -> Result<ColumnValue, String> {
    let raw = row.try_get_raw(index).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(ColumnValue::Null);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(match kind.as_str() {
        unsigned if unsigned.ends_with(" UNSIGNED") => ColumnValue::Integer(get::<u64>(row, index)?.to_string()),
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            ColumnValue::Integer(get::<i64>(row, index)?.to_string())
        }
        "YEAR" | "BIT" => ColumnValue::Integer(get::<u64>(row, index)?.to_string()),
        "FLOAT" => ColumnValue::Float(get::<f32>(row, index)?.to_string().parse().unwrap_or_default()),
        "DOUBLE" => ColumnValue::Float(get(row, index)?),
        "JSON" => ColumnValue::Json(get(row, index)?),
        "DATE" => ColumnValue::Text(get::<NaiveDate>(row, index)?.to_string()),
        "TIME" => ColumnValue::Text(get::<MySqlTime>(row, index)?.to_string()),
        "DATETIME" => ColumnValue::Text(get::<NaiveDateTime>(row, index)?.format("%Y-%m-%dT%H:%M:%S%.f").to_string()),
        "TIMESTAMP" => {
            ColumnValue::Text(get::<DateTime<Utc>>(row, index)?.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "GEOMETRY" => {
            ColumnValue::Bytes(get(row, index)?)
        }
        _ => ColumnValue::Text(get(row, index)?),
    })
}
