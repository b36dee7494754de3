//! Payloads are kept as they came. MySQL's own JSON type rounds numbers of more than 17 digits and refuses others, so its
//! columns become text that is valid JSON, as they are on MariaDB. SQLite refuses texts that are longer than their
//! columns, as the others do.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

/// The columns of MySQL that become text.
const TEXTS: [(&str, &[&str]); 2] = [("sexton_task", &["payload"]), ("sexton_history", &["payload", "result"])];
const TEXT: &str = "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
const CHECK: &str = "sexton_task_payload_is_json";
const TRIGGER: &str = "sexton_task_lengths";
const LENGTHS: [(&str, u32); 4] = [("name", 150), ("queue", 100), ("schedule", 150), ("unique_key", 190)];

crate::dialect::step! {
    up: |manager| keep_payloads(manager),
    down: |manager| undo(manager)
}

async fn keep_payloads(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    match manager.get_connection().get_database_backend() {
        DbBackend::MySql => {
            modify(manager, "json", TEXT, &format!("ADD CONSTRAINT {CHECK} CHECK (json_valid(payload))")).await
        }
        DbBackend::Sqlite => limit_lengths(manager).await,
        _ => Ok(()),
    }
}

async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    match manager.get_connection().get_database_backend() {
        DbBackend::MySql if has_check(manager).await? => {
            modify(manager, "longtext", "json", &format!("DROP CONSTRAINT {CHECK}")).await
        }
        DbBackend::Sqlite => {
            let drop = format!("DROP TRIGGER IF EXISTS {TRIGGER}");
            manager.get_connection().execute_unprepared(&drop).await.map(|_| ())
        }
        _ => Ok(()),
    }
}

/// Changes the type of the columns that have the type `from`. MariaDB has no JSON type, so that it has none of them.
async fn modify(manager: &SchemaManager<'_>, from: &str, to: &str, of_tasks: &str) -> Result<(), DbErr> {
    for (table, columns) in TEXTS {
        let mut changes = Vec::new();
        for column in columns {
            if type_of(manager, table, column).await? == from {
                changes.push(format!("MODIFY {column} {to}"));
            }
        }
        if changes.is_empty() {
            continue;
        }
        if table == "sexton_task" {
            changes.push(of_tasks.to_owned());
        }
        // One statement for a table, because each one copies it.
        let sql = format!("ALTER TABLE {table} {}", changes.join(", "));
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

async fn type_of(manager: &SchemaManager<'_>, table: &str, column: &str) -> Result<String, DbErr> {
    let sql = "SELECT CAST(data_type AS char) AS kind FROM information_schema.columns \
               WHERE table_schema = DATABASE() AND table_name = ? AND column_name = ?";
    let statement = Statement::from_sql_and_values(DbBackend::MySql, sql, [table.into(), column.into()]);
    let row = manager.get_connection().query_one_raw(statement).await?;
    Ok(row.map(|row| row.try_get::<String>("", "kind")).transpose()?.unwrap_or_default())
}

/// Whether the table has the constraint, which MariaDB does not get.
async fn has_check(manager: &SchemaManager<'_>) -> Result<bool, DbErr> {
    let sql = "SELECT constraint_name FROM information_schema.table_constraints \
               WHERE table_schema = DATABASE() AND table_name = 'sexton_task' AND constraint_name = ?";
    let statement = Statement::from_sql_and_values(DbBackend::MySql, sql, [CHECK.into()]);
    Ok(manager.get_connection().query_one_raw(statement).await?.is_some())
}

async fn limit_lengths(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let too_long: Vec<String> =
        LENGTHS.iter().map(|(column, length)| format!("length(NEW.{column}) > {length}")).collect();
    let limits: Vec<String> = LENGTHS.iter().map(|(column, length)| format!("{column} {length}")).collect();
    let sql = format!(
        "CREATE TRIGGER IF NOT EXISTS {TRIGGER} BEFORE INSERT ON sexton_task WHEN {}
         BEGIN SELECT RAISE(ABORT, 'a text is too long; the limits in characters are: {}'); END",
        too_long.join(" OR "),
        limits.join(", ")
    );
    manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
}
