//! `sexton_occurrence`: the fire ledger. Its key makes a schedule fire once in a cluster.

use sea_orm::entity::prelude::*;
use serde::Serialize;

use crate::states::{Fate, ReasonCode};

/// One instant of a schedule that a node has entered.
///
/// The reason is a code and typed values. `docs/SQL.md` lists which columns belong to which code; the sentence for
/// people is made in `sexton::domain::schedule::reason`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
#[sea_orm(table_name = "sexton_occurrence")]
pub struct Model {
    /// The schedule's name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub schedule: String,
    /// The instant at which it should have started.
    #[sea_orm(primary_key, auto_increment = false)]
    pub due_at: DateTimeUtc,
    /// The decision on the instant.
    pub fate: Fate,
    /// Text of the code `other`. NULL in all other rows, except those that an earlier version wrote.
    pub reason: Option<String>,
    /// The node that entered it.
    pub node: String,
    /// A random mark of the transaction that entered it, by which that transaction finds its own rows.
    pub entry: String,
    /// Database time at which it was entered.
    pub entered_at: DateTimeUtc,
    /// Why it did not start on time. NULL if it did.
    pub reason_code: Option<ReasonCode>,
    /// How late it was when a node decided, in milliseconds.
    pub late_ms: Option<i64>,
    /// The later instant of the schedule that runs in its place.
    pub coalesced_into: Option<DateTimeUtc>,
    /// When its period begins: its task starts then.
    pub held_until: Option<DateTimeUtc>,
    /// The period that it is outside of.
    pub period: Option<String>,
    /// The instant of the earlier run that was not finished.
    pub blocked_by: Option<DateTimeUtc>,
    /// The setting `missed_max` that it exceeded.
    pub missed_max: Option<i64>,
    /// The setting `missed_age` that it exceeded, in milliseconds.
    pub missed_age_ms: Option<i64>,
    /// Start of the setting `run_missed_between`, on the wall clocks of `window_timezone`.
    pub window_from: Option<Time>,
    /// End of the setting `run_missed_between`, exclusive.
    pub window_to: Option<Time>,
    /// Time of day at which a node decided, on the same wall clocks. Seconds are dropped.
    pub window_at: Option<Time>,
    /// Name of the time zone in the tz database.
    pub window_timezone: Option<String>,
    /// Number of earlier instants without a row that this row also accounts for.
    pub stands_for: i64,
    /// There are more than `stands_for` of them; counting stopped there.
    pub stands_for_more: bool,
}

/// No foreign keys: entries outlive their schedule.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
