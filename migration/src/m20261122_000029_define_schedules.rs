//! Adds to `sexton_schedule` what defines a schedule: an application's INSERT of a name, a task and a crontab expression is
//! a complete schedule. `shadowed_task` is set while a configuration file defines a schedule of the same name.
//!
//! A node of the version before does not read these columns: it lists such schedules, and leaves them to others.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

use crate::dialect::{Also, add_columns, drop_columns, run};

const COLUMNS: [(&str, &str, &str); 5] = [
    ("sexton_schedule", "cron", "{long}"),
    ("sexton_schedule", "timezone", "varchar(64)"),
    ("sexton_schedule", "payload", "{long}"),
    ("sexton_schedule", "settings", "{long}"),
    ("sexton_schedule", "shadowed_task", "varchar(150)"),
];
/// What SQLite has declared, and what it is to declare.
const SPEC: [&str; 2] = ["spec text NOT NULL,", "spec text NOT NULL DEFAULT '',"];

crate::dialect::step! {
    up: |manager| define(manager),
    down: |manager| undo(manager)
}

/// An INSERT need not give the recurrences in words, which nodes enter.
async fn define(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    add_columns(manager, &COLUMNS).await?;
    match manager.get_connection().get_database_backend() {
        DbBackend::MySql => {
            let sql = "ALTER TABLE sexton_schedule MODIFY spec longtext NOT NULL DEFAULT ('')";
            manager.get_connection().execute_unprepared(sql).await.map(|_| ())
        }
        DbBackend::Sqlite => remake(manager).await,
        _ => run(manager, &["ALTER TABLE sexton_schedule ALTER COLUMN spec SET DEFAULT ''"], Also::default()).await,
    }
}

async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    drop_columns(manager, &COLUMNS).await
}

/// SQLite cannot change a default: the table is made again, in one transaction.
async fn remake(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let statement = |sql: &str| Statement::from_string(DbBackend::Sqlite, sql);
    let declared = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'sexton_schedule'";
    let row = connection.query_one_raw(statement(declared)).await?;
    let Some(row) = row else { return Err(DbErr::Custom("there is no table sexton_schedule".to_owned())) };
    let declared: String = row.try_get("", "sql")?;
    let [before, after] = SPEC;
    if !declared.contains(before) {
        return Ok(());
    }
    let remade = declared.replacen(before, after, 1);
    let Some((_, body)) = remade.split_once('(') else { return Err(DbErr::Custom(format!("unexpected: {remade}"))) };
    let columns = connection.query_all_raw(statement("SELECT name FROM pragma_table_info('sexton_schedule')")).await?;
    let columns = columns.iter().map(|row| row.try_get::<String>("", "name").map(|name| format!("\"{name}\"")));
    let copied = columns.collect::<Result<Vec<_>, _>>()?.join(", ");
    let transaction = connection.begin().await?;
    let statements = [
        // Views of the application on the table must not stand in the way of the new name.
        "PRAGMA legacy_alter_table = ON".to_owned(),
        "DROP TABLE IF EXISTS sexton_schedule_remade".to_owned(),
        format!("CREATE TABLE sexton_schedule_remade ({body}"),
        format!("INSERT INTO sexton_schedule_remade ({copied}) SELECT {copied} FROM sexton_schedule"),
        "DROP TABLE sexton_schedule".to_owned(),
        "ALTER TABLE sexton_schedule_remade RENAME TO sexton_schedule".to_owned(),
        "PRAGMA legacy_alter_table = OFF".to_owned(),
    ];
    for statement in &statements {
        transaction.execute_unprepared(statement).await?;
    }
    transaction.commit().await
}
