//! `sexton_trigger`: which triggers the nodes have. By it, a node knows for whom an event is to wait.

use sea_orm::entity::prelude::*;
use serde::Serialize;

/// One trigger of one node. It stays while the node is away.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_trigger")]
pub struct Model {
    /// Name of the trigger.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Name of the node, which it keeps over restarts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: String,
    /// Names of its events, as a JSON list; a `*` at the end stands for the rest.
    pub patterns: String,
    /// Name of the task definition.
    pub task: String,
    /// Database time since which the node has it in this form.
    pub since: DateTimeUtc,
    /// Database time at which the node confirmed it last.
    pub seen_at: DateTimeUtc,
    /// Which files it is for, as the JSON of its settings; none for a trigger on other events.
    pub watches: Option<String>,
    /// Why the node cannot watch its files, or can only look at them from time to time.
    pub trouble: Option<String>,
}

/// No foreign keys: a node that is away keeps its triggers.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
