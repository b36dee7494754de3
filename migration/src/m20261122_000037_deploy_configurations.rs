//! Creates `sexton_config_version`: the versions of the configuration that were deployed, each with its signature. Adds to
//! `sexton_node` which of them a node has in force.

use crate::dialect::{Also, add_columns, drop_columns, drop_tables, run};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS sexton_config_version (
        number bigint NOT NULL PRIMARY KEY,
        cluster varchar(100),
        manifest {long},
        signature {long},
        signer varchar(255),
        note {long},
        created_at {instant} DEFAULT {now},
        created_by varchar(100),
        host varchar(255)
    {end}";
const COLUMNS: [(&str, &str, &str); 1] = [("sexton_node", "deployment", "{json}")];

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
    drop_tables(manager, &["sexton_config_version"]).await
}
