//! The store: the only place with queries, together with its lower half in `client/src/store`, which applications use as
//! well. One file is one concern, one function one intention.
//!
//! Transactions begin and end inside. What differs between the databases is in `dialect.rs`, `claim.rs` and the few
//! other files that `tests/tidy` lists.

mod adopt;
mod aging;
pub mod application;
mod applied;
mod array_text;
mod attempt_columns;
mod audit;
mod baselines;
mod bounded;
mod cancel;
mod claim;
mod claim_conditions;
mod claim_position;
mod claim_queues;
mod claim_result;
mod claimed_task;
mod cluster_queues;
mod config_versions;
mod connect;
mod daily;
mod database_schedules;
mod datagrams;
mod dead_nodes;
mod doctor;
mod event_takes;
mod events;
mod expected_runs;
mod expiry;
mod fair;
mod file_events;
mod file_watch;
mod finish;
mod finish_result;
mod fire;
mod followers;
mod future;
mod group_retry;
mod groups;
mod health;
mod identity;
mod limit_keys;
mod long_runs;
mod maintenance;
mod migrate;
mod missed_instants;
mod move_by_rows;
mod move_tasks;
mod move_to_history;
mod nodes;
mod notice_sending;
mod notices;
mod occurrences;
mod outlook;
mod output;
mod output_notices;
mod overlap;
mod pause;
mod pause_schedule;
mod peek;
mod portions;
mod problems;
mod prune;
mod queues;
mod rates;
mod refused_finishes;
mod rescue;
mod retry;
mod rows;
mod schedule_definitions;
mod schedule_pages;
mod schedules;
mod schedules_ahead;
mod server_load;
mod sightings;
mod summary;
mod sweeps;
mod tasks;
mod trigger_pace;
mod triggers;
mod unknown;
mod unreadable_tasks;
mod wakeup;
mod why;

use std::{
    ops::Deref,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

pub use sexton_client::store::{
    Operation,
    connection::{ConnectOptions, Connection, DatabaseTransaction, DropInRuntime},
    error::StoreError,
    followers::Settled,
    history::HistoryFilter,
    isolated_faults::Isolated,
    selection::{SelectedTasks, TaskSelection},
    wait::WaitError,
};
use sexton_client::store::{TaskStore, connection, dialect, error, row_decoding, selection};

pub use self::{
    adopt::Adoption,
    audit::{AuditFilter, Deed},
    cancel::CancelResult,
    claim_result::ClaimResult,
    config_versions::{ConfigVersionRow, NodeDeployment, VersionHead},
    daily::DayFigures,
    datagrams::DatagramListener,
    doctor::{IndexDefinition, expected_indexes},
    event_takes::TakenEvents,
    events::{EventFilter, EventTroubles, SentEvent},
    file_watch::FileWatch,
    finish::OnStale,
    finish_result::Recorded,
    followers::PredecessorRow,
    future::NextInstants,
    groups::{GroupCounts, GroupMember},
    health::{HistoryOf, QueueBacklog},
    limit_keys::KeySearch,
    maintenance::{Halt, Maintenance},
    migrate::MigrationStatus,
    nodes::Heartbeat,
    notice_sending::Tried,
    notices::{HeldNotices, NewNotice, Told},
    outlook::{NodeOutlook, OutlookOf},
    output_notices::OutputNotice,
    pause::PauseDetails,
    peek::{MaintenanceSeen, Peek},
    portions::{PortionResults, in_portions},
    problems::{ProblemChange, ProblemFilter},
    queues::QueueRow,
    rates::RateRow,
    rescue::{Rescue, RunningClaim},
    retry::{FinishedSelection, FinishedTasks},
    schedule_definitions::ScheduleComparison,
    schedules::{Firing, ScheduleRow},
    summary::{LastRun, SchedulePicture},
    sweeps::{EnteredRound, SweepRules},
    tasks::{Enqueued, TaskFilter},
    unknown::UnknownName,
    wakeup::{Wakeup, WakeupListener},
};
use crate::{
    clock::{Clock, uptime},
    domain::identity::DatabaseId,
};

/// A connected database with Sexton's tables, for the daemon. Clones share one connection pool.
#[derive(Clone, Debug)]
pub struct Store {
    /// What applications may do, too: enqueue, look, cancel. Its methods are methods of the store.
    tasks: TaskStore,
    /// The identity of the database, once it was read.
    id: Arc<OnceLock<DatabaseId>>,
    /// How many occurrences of problems were noted.
    problems_noted: Arc<AtomicU64>,
}

impl Deref for Store {
    type Target = TaskStore;

    fn deref(&self) -> &TaskStore {
        &self.tasks
    }
}

impl From<Store> for TaskStore {
    fn from(store: Store) -> Self {
        store.tasks
    }
}

impl Store {
    /// Corrects a clock by the time of a database server. Without a server the machine's time is the only one, and a
    /// change of the wall clock counts at once.
    ///
    /// # Errors
    /// If the database is unavailable or refuses the statement.
    pub async fn set_clock(&self, clock: &Clock) -> Result<(), StoreError> {
        if self.dialect.has_server() {
            let asked = uptime();
            clock.correct(self.now().await?, asked, uptime());
        }
        Ok(())
    }
}
