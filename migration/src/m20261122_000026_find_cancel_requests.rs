//! The request to cancel a task that waits is found by an index. SQLite keeps `run_at` in one fixed form, whatever form an
//! application writes in an UPDATE: the next due task is found in the order of the texts.

use crate::dialect::{Also, add_index, drop_index, run};

const INDEX: &str = "sexton_task_cancel";
/// Brings what is there into the form, and then what is written.
const FORM: [&str; 2] = [
    "UPDATE sexton_task SET run_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', run_at)
     WHERE run_at NOT GLOB '????-??-??T??:??:??*+00:00' AND strftime('%s', run_at) IS NOT NULL",
    "CREATE TRIGGER IF NOT EXISTS sexton_task_later_run_at_form AFTER UPDATE OF run_at ON sexton_task
     WHEN NEW.run_at NOT GLOB '????-??-??T??:??:??*+00:00'
     BEGIN
        UPDATE sexton_task SET run_at = strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.run_at) WHERE id = NEW.id;
     END",
];
const NO_FORM: [&str; 1] = ["DROP TRIGGER IF EXISTS sexton_task_later_run_at_form"];

crate::dialect::step! {
    up: |manager| find_requests(manager),
    down: |manager| undo(manager)
}

async fn find_requests(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    add_index(manager, "sexton_task", INDEX, "cancel_requested_at").await?;
    run(manager, &[], Also { sqlite: &FORM, ..Also::default() }).await
}

async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    run(manager, &[], Also { sqlite: &NO_FORM, ..Also::default() }).await?;
    drop_index(manager, "sexton_task", INDEX).await
}
