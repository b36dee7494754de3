//! Creates `sexton_rate`: a token bucket for each queue and each task that has a rate. Tasks get a limit key, and an index in
//! which each key has a place of its own. On PostgreSQL and SQLite it has only tasks with a key.

use sea_orm_migration::sea_orm::{ConnectionTrait as _, DbBackend};

use crate::dialect::{Also, add_columns, drop_columns, drop_index, drop_tables, run};

const TABLE: &str = "sexton_task";
const INDEX: &str = "sexton_task_key";
const COLUMNS: [(&str, &str, &str); 2] =
    [(TABLE, "limit_key", "varchar(150)"), ("sexton_turn", "latest_key", "varchar(150)")];
const RATE: &str = "CREATE TABLE IF NOT EXISTS sexton_rate (
        scope varchar(8) NOT NULL,
        name varchar(150) NOT NULL,
        full_at {instant} NOT NULL DEFAULT {now},
        tokens integer NOT NULL,
        per_millis bigint NOT NULL,
        burst integer NOT NULL,
        node varchar(100),
        set_at {instant} NOT NULL DEFAULT {now},
        PRIMARY KEY (scope, name)
    {end}";

crate::dialect::step! {
    up: |manager| async {
        run(manager, &[RATE], Also::default()).await?;
        add_columns(manager, &COLUMNS).await?;
        add(manager).await
    },
    down: |manager| async {
        drop_index(manager, TABLE, INDEX).await?;
        drop_columns(manager, &COLUMNS).await?;
        drop_tables(manager, &["sexton_rate"]).await
    }
}

async fn add(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if manager.has_index(TABLE, INDEX).await? {
        return Ok(());
    }
    let partial = match manager.get_connection().get_database_backend() {
        DbBackend::MySql => "",
        _ => " WHERE state = 'available' AND limit_key IS NOT NULL",
    };
    let sql = format!("CREATE INDEX {INDEX} ON {TABLE} (queue, limit_key, name, priority, id){partial}");
    manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
}
