//! `sexton_node`: the daemons that are alive, or were until their lease ran out.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::NodeState;

/// One running daemon.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_node")]
pub struct Model {
    /// The boot id: the node's name and twelve random digits, new at each start.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What the configuration calls it; the host's name unless set.
    pub name: String,
    /// The host it runs on.
    pub host: String,
    /// Its process number there.
    pub pid: i32,
    /// The program's version.
    pub version: String,
    /// What it does.
    pub state: NodeState,
    /// When it started.
    pub started_at: DateTimeUtc,
    /// Its latest sign of life.
    pub heartbeat_at: DateTimeUtc,
    /// Until then its running tasks are its own.
    pub lease_expires_at: DateTimeUtc,
    /// Its daemon modules and their state, as of the latest heartbeat.
    pub modules: Option<Json>,
}

/// Tasks name their node in plain text.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
