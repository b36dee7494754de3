//! Tasks may expire. History says why nothing was executed, and how many processes a command left behind. Nodes publish
//! the queues that they serve.
//!
//! `expires_at` must be an instant that exists, as the other instants of a task. SQLite keeps it in one fixed form,
//! whatever form an application writes.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::dialect::{add_columns, add_index, drop_columns, drop_index};

const COLUMNS: [(&str, &str, &str); 4] = [
    ("sexton_task", "expires_at", "{instant}"),
    ("sexton_history", "reason_code", "varchar(32)"),
    ("sexton_history", "left_behind", "integer"),
    ("sexton_node", "queues", "{json}"),
];
const INDEX: &str = "sexton_task_expiry";
const CHECK: &str = "sexton_task_expiry_exists";
/// Refuses what is no instant, and brings the others into the fixed form. For inserts and for updates.
const TRIGGERS: [(&str, &str, &str, &str); 2] = [
    (
        "sexton_task_expiry_exists",
        "BEFORE",
        "NEW.expires_at IS NOT NULL AND strftime('%s', NEW.expires_at) IS NULL",
        "SELECT RAISE(ABORT, 'expires_at is not a time that SQLite understands')",
    ),
    (
        "sexton_task_expiry_form",
        "AFTER",
        "NEW.expires_at IS NOT NULL AND NEW.expires_at NOT GLOB '????-??-??T??:??:??*+00:00'",
        "UPDATE sexton_task SET expires_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.expires_at) WHERE id = NEW.id",
    ),
];
/// The events of the triggers, and the end of their names.
const EVENTS: [(&str, &str); 2] = [("insert", "INSERT"), ("update", "UPDATE OF expires_at")];

crate::dialect::step! {
    up: |manager| expire_tasks(manager),
    down: |manager| undo(manager)
}

async fn expire_tasks(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    add_columns(manager, &COLUMNS).await?;
    add_index(manager, "sexton_task", INDEX, "expires_at").await?;
    let connection = manager.get_connection();
    let statements = match connection.get_database_backend() {
        DbBackend::Sqlite => {
            let trigger = |(name, when, condition, action)| {
                EVENTS.map(|(suffix, event)| {
                    format!(
                        "CREATE TRIGGER IF NOT EXISTS {name}_{suffix} {when} {event} ON sexton_task WHEN {condition} \
                         BEGIN {action}; END"
                    )
                })
            };
            TRIGGERS.map(trigger).concat()
        }
        DbBackend::MySql if has_check(manager).await? => Vec::new(),
        DbBackend::MySql => {
            let condition = "expires_at IS NULL OR expires_at >= '1000-01-01'";
            vec![format!("ALTER TABLE sexton_task ADD CONSTRAINT {CHECK} CHECK ({condition})")]
        }
        _ => {
            let condition = "expires_at IS NULL OR (expires_at >= '0001-01-01 00:00:00+00' \
                             AND expires_at < '10000-01-01 00:00:00+00')";
            vec![format!(
                "ALTER TABLE sexton_task DROP CONSTRAINT IF EXISTS {CHECK}, \
                 ADD CONSTRAINT {CHECK} CHECK ({condition}) NOT VALID"
            )]
        }
    };
    for sql in statements {
        connection.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// Whether the table has the constraint. MySQL cannot add one "if it does not exist".
async fn has_check(manager: &SchemaManager<'_>) -> Result<bool, DbErr> {
    let sql = "SELECT constraint_name FROM information_schema.table_constraints \
               WHERE table_schema = DATABASE() AND table_name = 'sexton_task' AND constraint_name = ?";
    let statement = Statement::from_sql_and_values(DbBackend::MySql, sql, [CHECK.into()]);
    Ok(manager.get_connection().query_one_raw(statement).await?.is_some())
}

async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    match connection.get_database_backend() {
        DbBackend::Sqlite => {
            for (name, ..) in TRIGGERS {
                for (suffix, _) in EVENTS {
                    connection.execute_unprepared(&format!("DROP TRIGGER IF EXISTS {name}_{suffix}")).await?;
                }
            }
        }
        DbBackend::MySql if !has_check(manager).await? => {}
        _ => {
            let sql = format!("ALTER TABLE sexton_task DROP CONSTRAINT {CHECK}");
            connection.execute_unprepared(&sql).await?;
        }
    }
    drop_index(manager, "sexton_task", INDEX).await?;
    drop_columns(manager, &COLUMNS).await
}
