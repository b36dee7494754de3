//! A claim is identified beyond doubt: by the database that it is of, and in the history by the instants of the enqueue
//! and of the claim. Tasks count the nodes that died in a row while they ran.
//!
//! The history was unique by task, fence and outcome. A database that was restored without its sequences gives a task's
//! number again; then every finish collided with an old row.

use sea_orm_migration::{
    SchemaManagerConnection,
    sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait},
};

use crate::dialect::{Also, add_columns, drop_columns, drop_index, drop_tables, run};

const COLUMNS: [(&str, &str, &str); 2] =
    [("sexton_task", "pickups", "integer NOT NULL DEFAULT 0"), ("sexton_history", "claimed_at", "{instant}")];
const IDENTITY: &str = "CREATE TABLE IF NOT EXISTS sexton_database (
        id integer NOT NULL PRIMARY KEY,
        uuid varchar(36) NOT NULL,
        created_at {instant} NOT NULL DEFAULT {now}
    {end}";
/// The unique key of the version before, and the one that replaces it.
const OLD_KEY: &str = "sexton_history_claim";
const OLD_COLUMNS: &str = "task_id, fence, outcome";
const KEY: &str = "sexton_history_execution";
const KEY_COLUMNS: &str = "task_id, fence, outcome, enqueued_at, claimed_at";

crate::dialect::step! {
    up: |manager| identify_claims(manager),
    down: |manager| undo(manager)
}

async fn identify_claims(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    run(manager, &[IDENTITY], Also::default()).await?;
    add_columns(manager, &COLUMNS).await?;
    let connection = manager.get_connection();
    match connection.get_database_backend() {
        DbBackend::Sqlite => remake_history(manager).await?,
        DbBackend::MySql => {}
        _ => {
            let drop = format!("ALTER TABLE sexton_history DROP CONSTRAINT IF EXISTS {OLD_KEY}");
            connection.execute_unprepared(&drop).await?;
        }
    }
    drop_index(manager, "sexton_history", OLD_KEY).await?;
    if !manager.has_index("sexton_history", KEY).await? {
        add_key(connection, KEY, KEY_COLUMNS).await?;
    }
    Ok(())
}

/// With rows that the old key would refuse, the history stays without it.
async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    drop_index(manager, "sexton_history", KEY).await?;
    let twice = format!("SELECT 1 FROM sexton_history GROUP BY {OLD_COLUMNS} HAVING COUNT(*) > 1 LIMIT 1");
    if connection.query_one_raw(statement(connection, &twice)).await?.is_none() {
        add_key(connection, OLD_KEY, OLD_COLUMNS).await?;
    }
    drop_columns(manager, &COLUMNS).await?;
    drop_tables(manager, &["sexton_database"]).await
}

async fn add_key(connection: &SchemaManagerConnection<'_>, name: &str, columns: &str) -> Result<(), DbErr> {
    let sql = format!("CREATE UNIQUE INDEX {name} ON sexton_history ({columns})");
    connection.execute_unprepared(&sql).await.map(|_| ())
}

/// SQLite cannot drop a constraint: the table is made again without it, in one transaction.
async fn remake_history(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let declared = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'sexton_history'";
    let row = connection.query_one_raw(statement(connection, declared)).await?;
    let Some(row) = row else { return Err(DbErr::Custom("there is no table sexton_history".to_owned())) };
    let declared: String = row.try_get("", "sql")?;
    let constraint = format!("CONSTRAINT {OLD_KEY} UNIQUE ({OLD_COLUMNS})");
    let Some((before, after)) = declared.split_once(&constraint) else { return Ok(()) };
    // A column stands before the constraint, and columns that were added later may stand after it.
    let before = before.trim_end().trim_end_matches(',');
    let remade = format!("{before}{after}");
    let Some((_, body)) = remade.split_once('(') else { return Err(DbErr::Custom(format!("unexpected: {remade}"))) };
    let copied = columns_of(connection).await?.join(", ");
    let transaction = connection.begin().await?;
    let statements = [
        // Views of the application on the table must not stand in the way of the new name.
        "PRAGMA legacy_alter_table = ON".to_owned(),
        "DROP TABLE IF EXISTS sexton_history_remade".to_owned(),
        format!("CREATE TABLE sexton_history_remade ({body}"),
        format!("INSERT INTO sexton_history_remade ({copied}) SELECT {copied} FROM sexton_history"),
        // Numbers of rows that were pruned are not given again.
        "DELETE FROM sqlite_sequence WHERE name = 'sexton_history_remade'".to_owned(),
        "INSERT INTO sqlite_sequence (name, seq) \
         SELECT 'sexton_history_remade', seq FROM sqlite_sequence WHERE name = 'sexton_history'"
            .to_owned(),
        "DROP TABLE sexton_history".to_owned(),
        "ALTER TABLE sexton_history_remade RENAME TO sexton_history".to_owned(),
        "CREATE INDEX sexton_history_name ON sexton_history (name, finished_at)".to_owned(),
        "CREATE INDEX sexton_history_finished ON sexton_history (finished_at)".to_owned(),
        "PRAGMA legacy_alter_table = OFF".to_owned(),
    ];
    for statement in &statements {
        transaction.execute_unprepared(statement).await?;
    }
    transaction.commit().await
}

async fn columns_of(connection: &SchemaManagerConnection<'_>) -> Result<Vec<String>, DbErr> {
    let rows =
        connection.query_all_raw(statement(connection, "SELECT name FROM pragma_table_info('sexton_history')")).await?;
    rows.iter().map(|row| row.try_get::<String>("", "name").map(|name| format!("\"{name}\""))).collect()
}

fn statement(connection: &SchemaManagerConnection<'_>, sql: &str) -> Statement {
    Statement::from_string(connection.get_database_backend(), sql)
}
