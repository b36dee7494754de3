//! Reasons in the ledger become a code and typed values. This step reads the English sentences of the version before,
//! once.
//!
//! The column `reason` stays. It keeps the text of rows that this step cannot read (code `other`), and a node of the
//! version before can still write it while a cluster is upgraded node by node.

mod sentence;

use sea_orm_migration::{
    SchemaManagerConnection,
    sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value},
};
use serde_json::{Value as Json, json};

use self::sentence::Typed;
use crate::dialect::{add_columns, drop_columns};

/// Rows that one statement translates.
const PORTION: usize = 1_000;
const TABLE: &str = "sexton_occurrence";
const COLUMNS: [(&str, &str, &str); 14] = [
    (TABLE, "reason_code", "varchar(16)"),
    (TABLE, "late_ms", "bigint"),
    (TABLE, "coalesced_into", "{instant}"),
    (TABLE, "held_until", "{instant}"),
    (TABLE, "period", "{long}"),
    (TABLE, "blocked_by", "{instant}"),
    (TABLE, "missed_max", "bigint"),
    (TABLE, "missed_age_ms", "bigint"),
    (TABLE, "window_from", "{time}"),
    (TABLE, "window_to", "{time}"),
    (TABLE, "window_at", "{time}"),
    (TABLE, "window_timezone", "varchar(64)"),
    (TABLE, "stands_for", "bigint NOT NULL DEFAULT 0"),
    (TABLE, "stands_for_more", "boolean NOT NULL DEFAULT false"),
];
/// The columns that a translation sets, with their types on PostgreSQL and on MySQL.
const SET: [(&str, &str, &str); 15] = [
    ("reason", "text", "longtext CHARACTER SET utf8mb4"),
    ("reason_code", "text", "longtext CHARACTER SET utf8mb4"),
    ("late_ms", "bigint", "bigint"),
    ("coalesced_into", "timestamptz", "datetime(6)"),
    ("held_until", "timestamptz", "datetime(6)"),
    ("period", "text", "longtext CHARACTER SET utf8mb4"),
    ("blocked_by", "timestamptz", "datetime(6)"),
    ("missed_max", "bigint", "bigint"),
    ("missed_age_ms", "bigint", "bigint"),
    ("window_from", "time", "time"),
    ("window_to", "time", "time"),
    ("window_at", "time", "time"),
    ("window_timezone", "text", "longtext CHARACTER SET utf8mb4"),
    ("stands_for", "bigint", "bigint"),
    ("stands_for_more", "boolean", "bigint"),
];
const KEY: [(&str, &str, &str); 2] =
    [("schedule", "text", "longtext CHARACTER SET utf8mb4"), ("due_at", "timestamptz", "datetime(6)")];

crate::dialect::step! {
    up: |manager| type_reasons(manager),
    // The sentences are gone; the fates remain.
    down: |manager| drop_columns(manager, &COLUMNS)
}

/// An entry with a sentence. The instant is text, as the database writes it.
struct Entry {
    schedule: String,
    due_at: String,
    sentence: String,
}

async fn type_reasons(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    add_columns(manager, &COLUMNS).await?;
    let connection = manager.get_connection();
    let backend = connection.get_database_backend();
    // Smaller than every key.
    let mut last = (String::new(), "1000-01-01 00:00:00".to_owned());
    loop {
        let entries = next_entries(connection, &last).await?;
        let Some(end) = entries.last() else { return Ok(()) };
        last = (end.schedule.clone(), end.due_at.clone());
        let rows = Value::from(Json::Array(entries.iter().map(|entry| row(backend, entry)).collect()).to_string());
        connection.execute_raw(Statement::from_sql_and_values(backend, update(backend), [rows])).await?;
    }
}

/// The next entries with a sentence that is not translated yet, in the order of their keys.
async fn next_entries(
    connection: &SchemaManagerConnection<'_>,
    (schedule, due_at): &(String, String),
) -> Result<Vec<Entry>, DbErr> {
    let backend = connection.get_database_backend();
    let (text, first, second, instant) = match backend {
        DbBackend::MySql => ("char", "?", "?", "CAST(? AS datetime(6))"),
        DbBackend::Sqlite => ("text", "?", "?", "?"),
        _ => ("text", "$1", "$2", "CAST(CAST($3 AS text) AS timestamptz)"),
    };
    let sql = format!(
        "SELECT schedule, CAST(due_at AS {text}) AS due, reason FROM {TABLE} \
         WHERE reason IS NOT NULL AND reason_code IS NULL \
         AND (schedule > {first} OR (schedule = {second} AND due_at > {instant})) \
         ORDER BY schedule, due_at LIMIT {PORTION}"
    );
    let values: [Value; 3] = [schedule.clone().into(), schedule.clone().into(), due_at.clone().into()];
    let rows = connection.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let entry = |row: &QueryResult| {
        Ok(Entry {
            schedule: row.try_get("", "schedule")?,
            due_at: row.try_get("", "due")?,
            sentence: row.try_get("", "reason")?,
        })
    };
    rows.iter().map(entry).collect()
}

/// The translation of one entry, as an element of the array that [`update`] reads.
fn row(backend: DbBackend, entry: &Entry) -> Json {
    let typed = Typed::read(&entry.sentence);
    let instant = |at: Option<chrono::DateTime<chrono::Utc>>| {
        let format = if backend == DbBackend::MySql { "%Y-%m-%d %H:%M:%S%.6f" } else { "%Y-%m-%dT%H:%M:%S%.6f+00:00" };
        at.map(|at| at.format(format).to_string())
    };
    let time = |time: Option<chrono::NaiveTime>| time.map(|time| time.format("%H:%M:%S").to_string());
    json!({
        "schedule": entry.schedule,
        "due_at": entry.due_at,
        "reason": typed.unread,
        "reason_code": typed.reason_code,
        "late_ms": typed.late_ms,
        "coalesced_into": instant(typed.coalesced_into),
        "held_until": instant(typed.held_until),
        "period": typed.period,
        "blocked_by": instant(typed.blocked_by),
        "missed_max": typed.missed_max,
        "missed_age_ms": typed.missed_age_ms,
        "window_from": time(typed.window_from),
        "window_to": time(typed.window_to),
        "window_at": time(typed.window_at),
        "window_timezone": typed.window_timezone,
        "stands_for": typed.stands_for,
        "stands_for_more": typed.stands_for_more,
    })
}

/// Updates many entries by one parameter, a JSON array of objects.
fn update(backend: DbBackend) -> String {
    let columns =
        |each: &dyn Fn(&(&str, &str, &str)) -> String| KEY.iter().chain(&SET).map(each).collect::<Vec<_>>().join(", ");
    let sets =
        |prefix: &str| SET.iter().map(|(name, ..)| format!("{prefix}{name} = d.{name}")).collect::<Vec<_>>().join(", ");
    let on = "t.schedule = d.schedule AND t.due_at = d.due_at";
    match backend {
        DbBackend::MySql => {
            let columns = columns(&|(name, _, kind)| format!("{name} {kind} PATH '$.{name}'"));
            format!("UPDATE {TABLE} t JOIN JSON_TABLE(?, '$[*]' COLUMNS ({columns})) AS d ON {on} SET {}", sets("t."))
        }
        DbBackend::Sqlite => {
            let columns = columns(&|(name, ..)| format!("json_extract(value, '$.{name}') AS {name}"));
            format!("UPDATE {TABLE} AS t SET {} FROM (SELECT {columns} FROM json_each(?)) AS d WHERE {on}", sets(""))
        }
        _ => {
            let columns = columns(&|(name, kind, _)| format!("{name} {kind}"));
            let rows = format!("json_to_recordset(CAST(CAST($1 AS text) AS json)) AS d({columns})");
            format!("UPDATE {TABLE} AS t SET {} FROM {rows} WHERE {on}", sets(""))
        }
    }
}
