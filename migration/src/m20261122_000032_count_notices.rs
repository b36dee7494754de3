//! The notices of a channel within an hour are counted for each one that is written: an index finds them.

use sea_orm_migration::sea_orm::ConnectionTrait as _;

use crate::dialect::drop_index;

const TABLE: &str = "sexton_notice";
const INDEX: &str = "sexton_notice_channel";

crate::dialect::step! {
    up: |manager| add(manager),
    down: |manager| drop_index(manager, TABLE, INDEX)
}

async fn add(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if manager.has_index(TABLE, INDEX).await? {
        return Ok(());
    }
    let sql = format!("CREATE INDEX {INDEX} ON {TABLE} (channel, created_at)");
    manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
}
