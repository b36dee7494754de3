//! On PostgreSQL, an index has an entry for each version of a row. A task has three versions in its life, so indexes on
//! columns that most tasks do not have become partial.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

const NARROW: [&str; 4] = [
    "ALTER TABLE sexton_task DROP CONSTRAINT IF EXISTS sexton_task_unique_key",
    "CREATE UNIQUE INDEX IF NOT EXISTS sexton_task_unique_key ON sexton_task (unique_key) WHERE unique_key IS NOT NULL",
    "DROP INDEX IF EXISTS sexton_task_schedule",
    "CREATE INDEX sexton_task_schedule ON sexton_task (schedule) WHERE schedule IS NOT NULL",
];
const WIDE: [&str; 2] = [
    "DROP INDEX IF EXISTS sexton_task_unique_key",
    "ALTER TABLE sexton_task ADD CONSTRAINT sexton_task_unique_key UNIQUE (unique_key)",
];

crate::dialect::step! {
    up: |manager| run_on_postgres(manager, &NARROW),
    down: |manager| run_on_postgres(manager, &WIDE)
}

async fn run_on_postgres(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if connection.get_database_backend() == DbBackend::Postgres {
        for sql in statements {
            connection.execute_unprepared(sql).await?;
        }
    }
    Ok(())
}
