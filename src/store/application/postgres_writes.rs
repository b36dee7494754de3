//! PostgreSQL: statements that change something, in one transaction. Their rows come in binary form.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt as _;
use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, Either, Executor as _, Row as _,
    postgres::{PgConnectOptions, PgConnection},
    query_with, raw_sql,
};
use serde_json::Value;

use super::{
    collector::{changes_rows, refused},
    parameters, postgres, postgres_values,
};
use crate::{
    domain::{
        schema_name::SchemaName,
        sql_task::SqlRecord,
        sql_text::{ParameterStyle, SqlText},
    },
    store::StoreError,
};

/// Opens a session with the first host that answers, and takes changes where there are several.
pub(super) async fn open(
    hosts: &[PgConnectOptions],
    must_write: bool,
    patience: Duration,
) -> Result<(PgConnection, PgConnectOptions), StoreError> {
    let mut last = StoreError::Unavailable("the URL has no host".to_owned());
    for host in hosts {
        match postgres::open(std::slice::from_ref(host), patience).await {
            Ok(mut connection) => {
                if (must_write || hosts.len() > 1) && only_reads(&mut connection).await? {
                    last = StoreError::ReadOnly("(a standby?)".to_owned());
                    continue;
                }
                return Ok((connection, host.clone()));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn only_reads(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let sql = "SELECT current_setting('transaction_read_only')";
    let row = connection.fetch_one(raw_sql(sql)).await.map_err(refused)?;
    Ok(row.try_get::<String, _>(0).map_err(refused)? == "on")
}

/// Begins the transaction. Returns the number of the session on the server.
pub(super) async fn begin(
    connection: &mut PgConnection,
    timeout: Option<Duration>,
) -> Result<Option<String>, StoreError> {
    let sql = format!(
        "BEGIN READ WRITE; SET LOCAL statement_timeout = {}; SET LOCAL TimeZone TO UTC; SELECT pg_backend_pid()::text",
        timeout.map_or(0, |timeout| timeout.as_millis())
    );
    let rows = connection.fetch_all(raw_sql(AssertSqlSafe(sql))).await.map_err(refused)?;
    Ok(rows.last().and_then(|row| row.try_get(0).ok()))
}

/// Executes a statement.
pub(super) async fn execute(
    connection: &mut PgConnection,
    statement: &SqlText,
    values: &BTreeMap<String, Value>,
    record: &mut SqlRecord,
) -> Result<(), StoreError> {
    let (sql, names) = statement.with_parameters(ParameterStyle::Numbered);
    let arguments = parameters::postgres(&names, values).map_err(refused)?;
    let mut answers = connection.fetch_many(query_with(AssertSqlSafe(sql), arguments).persistent(false));
    while let Some(answer) = answers.try_next().await.map_err(refused)? {
        match answer {
            Either::Left(done) if changes_rows(statement) => record.add_changed(done.rows_affected()),
            Either::Left(_) => {}
            Either::Right(row) => {
                let columns: Vec<_> = (0..row.len())
                    .map(|index| (row.column(index).name(), postgres_values::value(&row, index)))
                    .collect();
                record.add_row(&columns).map_err(StoreError::Refused)?;
            }
        }
    }
    Ok(())
}

/// Lets the rest of the transaction find Sexton's tables.
pub(super) async fn find_tables(connection: &mut PgConnection, schema: Option<&SchemaName>) -> Result<(), StoreError> {
    if let Some(schema) = schema {
        // Its name is checked: it reads the same inside the quotes.
        let sql = format!("SET LOCAL search_path TO \"{schema}\"");
        connection.execute(raw_sql(AssertSqlSafe(sql))).await.map_err(refused)?;
    }
    Ok(())
}

pub(super) async fn commit(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection.execute(raw_sql("COMMIT")).await.map_err(refused)?;
    Ok(())
}

/// Has the server end what that session executes.
pub(super) async fn end(host: &PgConnectOptions, number: &str, patience: Duration) -> Result<(), StoreError> {
    let mut connection = postgres::open(std::slice::from_ref(host), patience).await?;
    let number: i32 = number.parse().map_err(|_| StoreError::Refused("the session has no number".to_owned()))?;
    let sql = format!("SELECT pg_cancel_backend({number})");
    connection.execute(raw_sql(AssertSqlSafe(sql))).await.map_err(refused)?;
    Ok(())
}
