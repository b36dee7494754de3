//! Creates `sexton_maintenance`: a row in it keeps all nodes from beginning anything. Adds to `sexton_node` which tasks a node
//! has disabled.
//!
//! A node of the version before knows neither: it begins tasks during a maintenance, and takes a disabled task for one that no
//! node defines.

use crate::dialect::{Also, add_columns, drop_columns, drop_tables, run};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS sexton_maintenance (
        id integer NOT NULL DEFAULT 1 PRIMARY KEY,
        began_at {instant} NOT NULL DEFAULT {now},
        ends_at {instant},
        login varchar(100),
        host varchar(255),
        reason {long}
    {end}";
const COLUMNS: [(&str, &str, &str); 1] = [("sexton_node", "disabled", "{json}")];

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
    drop_tables(manager, &["sexton_maintenance"]).await
}
