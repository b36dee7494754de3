//! Creates `sexton_sweep_row`: the rows of which a sweep has made batches that are unfinished. Adds to `sexton_task` what an
//! attempt has done in a transaction of its own: an attempt after it does not do it again.
//!
//! A node of the version before has no sweeps, and leaves their rounds alone.

use crate::dialect::{Also, add_columns, drop_columns, drop_tables, run};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS sexton_sweep_row (
        sweep varchar(100) NOT NULL,
        row_key varchar(150) NOT NULL,
        task_id bigint NOT NULL,
        PRIMARY KEY (sweep, row_key)
    {end}";
const COLUMNS: [(&str, &str, &str); 1] = [("sexton_task", "applied", "{json}")];

crate::dialect::step! {
    up: |manager| create(manager),
    down: |manager| undo(manager)
}

async fn create(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    run(manager, &[TABLE], Also::default()).await?;
    add_columns(manager, &COLUMNS).await
}

async fn undo(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    drop_columns(manager, &COLUMNS).await?;
    drop_tables(manager, &["sexton_sweep_row"]).await
}
