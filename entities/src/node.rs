//! `sexton_node`: running daemons, and those whose lease ran out but whose tasks are not yet rescued.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::NodeState;

/// One running daemon.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_node")]
pub struct Model {
    /// Boot id: the node's name and twelve random digits, new at each start.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `daemon.name` of the configuration; defaults to the host name.
    pub name: String,
    /// Host name of its machine.
    pub host: String,
    /// Process id on that machine.
    pub pid: i32,
    /// Version of the program.
    pub version: String,
    /// Whether it claims tasks.
    pub state: NodeState,
    /// Database time at which it registered.
    pub started_at: DateTimeUtc,
    /// Database time of its latest heartbeat.
    pub heartbeat_at: DateTimeUtc,
    /// Database time until which no other node may rescue its running tasks.
    pub lease_expires_at: DateTimeUtc,
    /// Its daemon modules with their states, as of the latest heartbeat.
    pub modules: Option<Json>,
    /// Names of the tasks that it can execute, as an array. NULL if it has not said so.
    pub defines: Option<Json>,
    /// Names of the tasks that its configuration disables, as an array. NULL if it has not said so.
    pub disabled: Option<Json>,
    /// The queues that it serves, by name: `workers`, and `full_since` if it has had no free worker for a while. NULL if
    /// it has not said so.
    pub queues: Option<Json>,
    /// Its schedules: an object with the recurrences of each, in the notation of `sexton_schedule.spec`, by name. NULL if it
    /// has not said so.
    pub schedules: Option<Json>,
    /// Which deployed version of the configuration it has in force, and which one it refuses and why. NULL without a table
    /// `[deploy]`.
    pub deployment: Option<Json>,
    /// Where it hears the datagrams that wake it, and the key with which they begin. NULL if it hears none.
    #[serde(skip)]
    pub wakeup: Option<String>,
}

/// No foreign keys: tasks name their node in plain text.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
