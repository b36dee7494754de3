//! The request to cancel a task that waits is found by an index. SQLite keeps `run_at` in one fixed form, whatever form an
//! application writes in an UPDATE: the next due task is found in the order of the texts.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::dialect::{add_index, drop_index};

const INDEX: &str = "sexton_task_cancel";
const TRIGGER: &str = "sexton_task_later_run_at_form";

crate::dialect::step! {
    up: |manager| find_requests(manager),
    down: |manager| undo(manager)
}

async fn find_requests(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    add_index(manager, "sexton_task", INDEX, "cancel_requested_at").await?;
    let connection = manager.get_connection();
    if connection.get_database_backend() == DbBackend::Sqlite {
        let other_form = |row: &str| format!("{row}run_at NOT GLOB '????-??-??T??:??:??*+00:00'");
        let form = |row: &str| format!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', {row}run_at)");
        let repair = format!(
            "UPDATE sexton_task SET run_at = {} WHERE {} AND strftime('%s', run_at) IS NOT NULL",
            form(""),
            other_form("")
        );
        let trigger = format!(
            "CREATE TRIGGER IF NOT EXISTS {TRIGGER} AFTER UPDATE OF run_at ON sexton_task WHEN {} \
             BEGIN UPDATE sexton_task SET run_at = {} WHERE id = NEW.id; END",
            other_form("NEW."),
            form("NEW.")
        );
        connection.execute_unprepared(&repair).await?;
        connection.execute_unprepared(&trigger).await?;
    }
    Ok(())
}

async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if connection.get_database_backend() == DbBackend::Sqlite {
        connection.execute_unprepared(&format!("DROP TRIGGER IF EXISTS {TRIGGER}")).await?;
    }
    drop_index(manager, "sexton_task", INDEX).await
}
