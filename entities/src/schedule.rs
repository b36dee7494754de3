//! `sexton_schedule`: recurring task definitions.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::Origin;

/// One schedule. `INSERT INTO sexton_schedule (name, task, cron) VALUES ('nightly', 'report', '0 2 * * *')` is complete.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_schedule")]
pub struct Model {
    /// Unique name, as written in `[task.NAME]` or `[schedule.NAME]`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Name of the task definition that it starts.
    pub task: String,
    /// Where it is defined.
    pub origin: Origin,
    /// Its recurrences in the notation of the configuration. An edit restarts the schedule.
    pub spec: String,
    /// While true, its instants are recorded as skipped.
    pub paused: bool,
    /// The latest instant that was entered in the ledger; instants up to this one are done.
    pub last_at: DateTimeUtc,
    /// The next instant, computed by the node that fired last. NULL if the schedule has no further instant, or if it is not known.
    pub next_at: Option<DateTimeUtc>,
    /// Database time at which a node first entered it.
    pub created_at: DateTimeUtc,
    /// Database time at which it was paused. NULL if it is not paused, or if an earlier version paused it.
    pub paused_at: Option<DateTimeUtc>,
    /// Login user, or else the account, that paused it.
    pub paused_by: Option<String>,
    /// Host on which it was paused.
    pub paused_host: Option<String>,
    /// Why it was paused, as the operator gave it.
    pub pause_reason: Option<String>,
    /// Database time at which a reload removed it while it was paused. Such a row keeps the pause for its return, and is
    /// no schedule otherwise.
    pub removed_at: Option<DateTimeUtc>,
    /// When the pause ends by itself. NULL if it has no end.
    pub paused_until: Option<DateTimeUtc>,
    /// No success is expected of instants up to this one: the schedule was edited then, or a pause that has an end lasts
    /// until then.
    pub excused_until: Option<DateTimeUtc>,
    /// The setting `expect` in words. NULL if no success is expected.
    pub expect: Option<String>,
    /// Name of the node whose configuration says so.
    pub expected_on: Option<String>,
    /// When it is overdue unless a run succeeds before. NULL if it has no further instant, or if it is not known yet.
    pub expected_by: Option<DateTimeUtc>,
    /// End of the latest known success of a schedule with `expect`, or its due instant if a clock was behind.
    pub succeeded_at: Option<DateTimeUtc>,
    /// Name of the node whose definition is in force. NULL if an earlier version entered it.
    pub defined_on: Option<String>,
    /// Database time since when that definition is in force.
    pub defined_at: Option<DateTimeUtc>,
    /// Name of the node with this definition that stopped or died last. NULL if none has.
    pub left_on: Option<String>,
    /// Database time at which that node stopped, or of its last heartbeat.
    pub left_at: Option<DateTimeUtc>,
    /// Of a schedule in the database: its crontab expression. NULL if `settings` has another recurrence.
    pub cron: Option<String>,
    /// Of a schedule in the database: the time zone of its recurrence. NULL means that of the configuration.
    pub timezone: Option<String>,
    /// Of a schedule in the database: the payload of its tasks, as JSON. NULL means that of the task definition.
    pub payload: Option<String>,
    /// Of a schedule in the database: further settings of `[schedule.NAME]`, as a JSON object.
    pub settings: Option<String>,
    /// The task of a schedule in the database that is not in force, because a configuration file defines a schedule of the
    /// same name. NULL for all others.
    pub shadowed_task: Option<String>,
}

/// No foreign keys: occurrences and tasks name their schedule in plain text and outlive it.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
