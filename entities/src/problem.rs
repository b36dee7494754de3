//! `sexton_problem`: what is wrong, from its first to its last occurrence.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::{Outcome, ProblemKind, ProblemState};

/// One problem. A problem that comes back is the same row in its next episode.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_problem")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Digest of kind, name, outcome and fingerprint. Unique, so that several nodes open one problem.
    #[serde(skip)]
    pub problem_key: String,
    /// What kind of thing it is of.
    pub kind: ProblemKind,
    /// Name of that thing: a task definition, a schedule, a node, a queue, a module, or a node with a directory.
    pub name: String,
    /// How the attempts of a task ended. NULL for other kinds.
    pub outcome: Option<Outcome>,
    /// The error without numbers, ids, paths and times.
    pub fingerprint: String,
    /// What happened last, as a text for people.
    pub what: String,
    /// Whether it lasts, and what an operator has said of it.
    pub state: ProblemState,
    /// How often it occurred in this episode.
    pub times: i64,
    /// How many of these occurrences ended their task.
    pub discarded: i64,
    /// Number of the episode, from 1.
    pub episode: i32,
    /// When this episode began.
    pub opened_at: DateTimeUtc,
    /// When it occurred last.
    pub seen_at: DateTimeUtc,
    /// Database time at which this episode ended. NULL while it lasts.
    pub closed_at: Option<DateTimeUtc>,
    /// Name of the task definition whose success ends it. NULL for other kinds.
    pub task: Option<String>,
    /// The schedule that created the last task.
    pub schedule: Option<String>,
    /// The queue of the last task.
    pub queue: Option<String>,
    /// The node on which it occurred last.
    pub node: Option<String>,
    /// Number of the last task.
    pub task_id: Option<i64>,
    /// Fence of the last attempt. With the task, it finds the attempt in the history.
    pub fence: Option<i64>,
    /// Exit code of the last attempt.
    pub exit_code: Option<i32>,
    /// When the next attempt of the last task begins. NULL if no further attempt follows.
    pub next_at: Option<DateTimeUtc>,
    /// Who acknowledged, muted or closed it last.
    pub changed_by: Option<String>,
    /// The host on which that was done.
    pub changed_host: Option<String>,
    /// The reason that was given.
    pub change_reason: Option<String>,
    /// Until when it is muted.
    pub muted_until: Option<DateTimeUtc>,
    /// Number of notices about this episode.
    pub notices: i32,
    /// Database time of the last of them.
    pub noticed_at: Option<DateTimeUtc>,
    /// Whether a notice has said that this episode is over.
    #[serde(skip)]
    pub end_noticed: bool,
    /// The last episode that was escalated. 0 if none was.
    #[serde(skip)]
    pub escalated_episode: i32,
}

/// No foreign keys: it outlives what it names.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
