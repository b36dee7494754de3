//! MariaDB and MySQL: statements that change something, in one transaction.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt as _;
use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, Either, Executor as _, Row as _,
    mysql::{MySqlConnectOptions, MySqlConnection},
    query_with, raw_sql,
};
use serde_json::Value;

use super::{
    collector::{changes_rows, refused},
    mysql, parameters,
};
use crate::{
    domain::{
        sql_task::SqlRecord,
        sql_text::{ParameterStyle, SqlText},
    },
    store::StoreError,
};

/// Begins the transaction. Returns the number of the session on the server.
pub(super) async fn begin(
    connection: &mut MySqlConnection,
    timeout: Option<Duration>,
    is_own: bool,
) -> Result<Option<String>, StoreError> {
    // Sexton's tables change all the time. On the stricter levels the server would refuse to note the result.
    let level = if is_own { "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; " } else { "" };
    // What follows `M!` is for MariaDB alone, and what follows `!80000` for MySQL, whose limit is for reading only.
    let limit = timeout.map(|timeout| {
        let millis = timeout.as_millis().max(1);
        format!(
            "SET @sexton = NULL /*M!100300 , SESSION max_statement_time = {}.{:03} */ \
             /*!80000 , SESSION max_execution_time = {millis} */; ",
            millis / 1_000,
            millis % 1_000
        )
    });
    let sql = format!(
        "{level}{}START TRANSACTION READ WRITE; SELECT CAST(CONNECTION_ID() AS CHAR)",
        limit.unwrap_or_default()
    );
    let rows = connection.fetch_all(raw_sql(AssertSqlSafe(sql))).await.map_err(refused)?;
    Ok(rows.last().and_then(|row| row.try_get(0).ok()))
}

/// Executes a statement.
pub(super) async fn execute(
    connection: &mut MySqlConnection,
    statement: &SqlText,
    values: &BTreeMap<String, Value>,
    record: &mut SqlRecord,
) -> Result<(), StoreError> {
    let (sql, names) = statement.with_parameters(ParameterStyle::QuestionMarks);
    let arguments = parameters::mysql(&names, values).map_err(refused)?;
    let mut answers = connection.fetch_many(query_with(AssertSqlSafe(sql), arguments).persistent(false));
    while let Some(answer) = answers.try_next().await.map_err(refused)? {
        match answer {
            Either::Left(done) if changes_rows(statement) => record.add_changed(done.rows_affected()),
            Either::Left(_) => {}
            Either::Right(row) => {
                let columns: Vec<_> =
                    (0..row.len()).map(|index| (row.column(index).name(), mysql::value(&row, index))).collect();
                record.add_row(&columns).map_err(StoreError::Refused)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn commit(connection: &mut MySqlConnection) -> Result<(), StoreError> {
    connection.execute(raw_sql("COMMIT")).await.map_err(refused)?;
    Ok(())
}

/// Has the server end that session, and with it what it executes.
pub(super) async fn end(server: &MySqlConnectOptions, number: &str, patience: Duration) -> Result<(), StoreError> {
    let mut connection = mysql::open(server, patience).await?;
    let number: u64 = number.parse().map_err(|_| StoreError::Refused("the session has no number".to_owned()))?;
    let sql = format!("KILL {number}");
    connection.execute(raw_sql(AssertSqlSafe(sql))).await.map_err(refused)?;
    Ok(())
}
