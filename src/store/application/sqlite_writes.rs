//! SQLite: statements that change something, in one transaction, which keeps other writers of the file waiting.

use std::{
    collections::BTreeMap,
    str::FromStr as _,
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use sea_orm::sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Either, Executor as _, Row as _, query_with, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};
use serde_json::Value;

use super::{
    collector::{changes_rows, refused, unopened},
    parameters,
    sqlite::{self, EndOnDrop},
};
use crate::{
    domain::{
        sql_task::SqlRecord,
        sql_text::{ParameterStyle, SqlText},
    },
    store::StoreError,
};

/// How long the transaction waits for a process that writes to the file.
const PATIENCE: Duration = Duration::from_secs(10);
/// SQLite itself waits this long, and then the file is asked for again.
const BUSY_TIMEOUT: Duration = Duration::from_millis(10);

/// Begins the transaction.
pub(super) async fn begin(url: &str, timeout: Option<Duration>) -> Result<(SqliteConnection, EndOnDrop), StoreError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|error| unopened(&error))?;
    let options = options.create_if_missing(false).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| unopened(&error))?;
    let started = Instant::now();
    loop {
        match connection.execute(raw_sql("BEGIN IMMEDIATE")).await.map_err(refused) {
            Ok(_) => break,
            Err(StoreError::Conflict(_)) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(500..3_000))).await;
            }
            Err(error) => return Err(error),
        }
    }
    let end = sqlite::end_on_drop(&mut connection, timeout).await?;
    Ok((connection, end))
}

/// Executes a statement.
pub(super) async fn execute(
    connection: &mut SqliteConnection,
    statement: &SqlText,
    values: &BTreeMap<String, Value>,
    record: &mut SqlRecord,
) -> Result<(), StoreError> {
    let (sql, names) = statement.with_parameters(ParameterStyle::QuestionMarks);
    let arguments = parameters::sqlite(&names, values).map_err(refused)?;
    let before = total_changes(connection).await?;
    let mut changed = 0;
    {
        let mut answers = connection.fetch_many(query_with(AssertSqlSafe(sql), arguments).persistent(false));
        while let Some(answer) = answers.try_next().await.map_err(refused)? {
            match answer {
                Either::Left(done) => changed += done.rows_affected(),
                Either::Right(row) => {
                    let columns: Vec<_> =
                        (0..row.len()).map(|index| (row.column(index).name(), sqlite::value(&row, index))).collect();
                    record.add_row(&columns).map_err(StoreError::Refused)?;
                }
            }
        }
    }
    // A statement that changes nothing repeats the number of the one before.
    if changes_rows(statement) && total_changes(connection).await? != before {
        record.add_changed(changed);
    }
    Ok(())
}

async fn total_changes(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let row = connection.fetch_one(raw_sql("SELECT total_changes()")).await.map_err(refused)?;
    row.try_get(0).map_err(refused)
}

pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute(raw_sql("COMMIT")).await.map_err(refused)?;
    Ok(())
}
