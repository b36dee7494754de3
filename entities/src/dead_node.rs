//! `sexton_dead_node`: nodes that died within the last day. Those that stopped cleanly are not in it.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One daemon whose lease ran out. Its columns are those of `sexton_node` at that time.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_dead_node")]
pub struct Model {
    /// Boot id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `daemon.name` of its configuration.
    pub name: String,
    /// Host name of its machine.
    pub host: String,
    /// Process id on that machine.
    pub pid: i32,
    /// Version of the program.
    pub version: String,
    /// Database time at which it registered.
    pub started_at: DateTimeUtc,
    /// Database time of its last heartbeat.
    pub heartbeat_at: DateTimeUtc,
    /// Database time at which its lease ran out.
    pub lease_expires_at: DateTimeUtc,
    /// Database time at which another node had released its tasks and removed it.
    pub removed_at: DateTimeUtc,
}

/// No foreign keys: the node is gone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
