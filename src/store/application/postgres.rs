//! PostgreSQL: a cursor in a read-only transaction. The server itself sends no more than is fetched, and refuses a cursor for
//! anything but a query.

use std::time::Duration;

use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _,
    postgres::{PgConnectOptions, PgConnection, PgRow},
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

/// How many rows are fetched at once.
const PORTION: usize = 100;

/// Opens a session with the first host that answers.
pub(super) async fn open(hosts: &[PgConnectOptions], patience: Duration) -> Result<PgConnection, StoreError> {
    let mut last = StoreError::Unavailable("the URL has no host".to_owned());
    for host in hosts {
        match tokio::time::timeout(patience, host.connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => last = unopened(&error),
            Err(_) => last = silent(patience),
        }
    }
    Err(last)
}

/// Reads the rows.
pub(super) async fn read(
    connection: &mut PgConnection,
    query: &ApplicationQuery<'_>,
    collector: &mut Collector<'_>,
) -> Result<(), StoreError> {
    let (sql, names) = query.select.with_parameters(ParameterStyle::Numbered);
    let arguments = parameters::postgres(&names, query.values).map_err(refused)?;
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL TimeZone TO UTC; SET LOCAL DateStyle TO ISO; \
         SET LOCAL bytea_output TO hex",
        query.timeout.as_millis()
    );
    connection.execute(raw_sql(AssertSqlSafe(begin))).await.map_err(refused)?;
    let declare = format!("DECLARE sexton_rows NO SCROLL CURSOR FOR {sql}");
    query_with(AssertSqlSafe(declare), arguments).persistent(false).execute(&mut *connection).await.map_err(refused)?;
    // Without parameters, each value comes as text, whatever its type.
    let fetch = format!("FETCH FORWARD {PORTION} FROM sexton_rows");
    loop {
        let rows = connection.fetch_all(raw_sql(AssertSqlSafe(fetch.clone()))).await.map_err(refused)?;
        for row in &rows {
            let columns: Vec<_> = (0..row.len()).map(|index| (row.column(index).name(), value(row, index))).collect();
            if !collector.add(&columns)? {
                return Ok(());
            }
        }
        if rows.len() < PORTION {
            return Ok(());
        }
    }
}

fn value(row: &PgRow, index: usize) -> Result<ColumnValue, String> {
    let raw = row.try_get_raw(index).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(ColumnValue::Null);
    }
    let text = raw.as_str().map_err(|error| error.to_string())?;
    Ok(match raw.type_info().name() {
        "BOOL" => ColumnValue::Flag(text == "t"),
        "INT2" | "INT4" | "INT8" | "OID" => ColumnValue::Integer(text.to_owned()),
        "FLOAT4" | "FLOAT8" => ColumnValue::Float(text.parse().map_err(|_| format!("`{text}` is not a number"))?),
        "JSON" | "JSONB" => ColumnValue::Json(text.to_owned()),
        "TIMESTAMPTZ" => ColumnValue::Text(match text.strip_suffix("+00") {
            Some(utc) => format!("{}Z", utc.replacen(' ', "T", 1)),
            // Infinity, and what is before Christ.
            None => text.to_owned(),
        }),
        "TIMESTAMP" => ColumnValue::Text(text.replacen(' ', "T", 1)),
        "BYTEA" => ColumnValue::Bytes(bytes(text)?),
        _ => ColumnValue::Text(text.to_owned()),
    })
}

/// Reads `\x0aff`.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("\\x").ok_or("its bytes are not in hexadecimal form")?.as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    digits.chunks(2).map(byte).collect::<Option<_>>().ok_or_else(|| "its bytes are not in hexadecimal form".to_owned())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_read() {
        assert_eq!(bytes("\\x0aff"), Ok(vec![10, 255]));
        assert!(bytes("0aff").is_err() && bytes("\\x0g").is_err());
    }
}
