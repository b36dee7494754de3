//! The store: the only place with queries, together with its lower half in `client/src/store`, which applications use as
//! well. One file is one concern, one function one intention.
//!
//! Transactions begin and end inside. What differs between the databases is in `dialect.rs`, `claim.rs` and the few
//! other files that `tests/tidy` lists.

mod adopt;
mod array_text;
mod audit;
mod baselines;
mod bounded;
mod cancel;
mod claim;
mod claim_conditions;
mod claimed_task;
mod cluster_queues;
mod connect;
mod daily;
mod dead_nodes;
mod doctor;
mod expected_runs;
mod expiry;
mod finish;
mod finish_result;
mod future;
mod health;
mod identity;
mod long_runs;
mod migrate;
mod missed_instants;
mod move_tasks;
mod move_to_history;
mod nodes;
mod notice_sending;
mod notices;
mod occurrences;
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
mod refused_finishes;
mod rescue;
mod retry;
mod rows;
mod schedules;
mod schedules_ahead;
mod server_load;
mod summary;
mod tasks;
mod unknown;
mod unreadable_tasks;
mod wakeup;
mod why;

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use sexton_client::store::{TaskStore, connection, dialect, error, row_decoding, selection};
pub use sexton_client::store::{
    connection::{ConnectOptions, Connection, DatabaseTransaction, DropInRuntime},
    error::StoreError,
    history::HistoryFilter,
    isolated_faults::Isolated,
    selection::{SelectedTasks, TaskSelection},
    wait::WaitError,
};

pub use self::{
    adopt::Adoption,
    audit::{AuditFilter, Deed},
    cancel::CancelResult,
    claim::ClaimResult,
    daily::DayFigures,
    doctor::{IndexDefinition, expected_indexes},
    finish::OnStale,
    finish_result::Recorded,
    future::NextInstants,
    health::{HistoryOf, QueueBacklog},
    migrate::MigrationStatus,
    nodes::Heartbeat,
    notice_sending::Tried,
    notices::{HeldNotices, NewNotice, Told},
    output_notices::OutputNotice,
    pause::PauseDetails,
    peek::Peek,
    portions::{PortionResults, in_portions},
    problems::{ProblemChange, ProblemFilter},
    queues::QueueRow,
    rescue::{Rescue, RunningClaim},
    retry::{FinishedSelection, FinishedTasks},
    schedules::{Firing, ScheduleRow},
    summary::{LastRun, SchedulePicture},
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
            let before = uptime();
            let database = self.now().await?;
            clock.correct(database, before + (uptime() - before) / 2);
        }
        Ok(())
    }
}
