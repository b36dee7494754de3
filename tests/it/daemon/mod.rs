//! The daemon as a whole: real processes and real signals, or inside the test where it has to be reached into.

mod chains;
mod clocks;
mod cluster;
mod exactly_once;
mod faults;
mod faulty_disk;
mod followed_schedules;
mod instants;
mod late_leases;
mod leases;
mod lifecycle;
mod limits;
mod locks;
mod never_begun;
mod other_database;
mod outage;
mod overdue;
mod periods;
mod policies;
mod pooler;
mod queues;
mod rates;
mod refused_logins;
mod schedules;
mod schemas;
mod ten_thousand;
mod unknown;
mod wakeups;
mod why;
mod wrong_clocks;

use sea_orm::{ConnectionTrait, Statement};
use sexton::store::{HistoryFilter, Store};
use sexton_entities::{history, states::Verdict};

/// A count that the database makes.
pub(crate) async fn count(store: &Store, sql: &str) -> i64 {
    let connection = store.connection();
    let statement = Statement::from_string(connection.get_database_backend(), format!("SELECT {sql}"));
    connection.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// How many tasks were completed.
pub(crate) async fn completed(store: &Store) -> i64 {
    count(store, "COUNT(*) FROM sexton_history WHERE verdict = 'completed'").await
}

/// All of history, the oldest first.
pub(crate) async fn history(store: &Store) -> Vec<history::Model> {
    let mut rows = store.history(&HistoryFilter { limit: 1_000_000, ..HistoryFilter::default() }).await.unwrap();
    rows.reverse();
    rows
}

/// The verdicts on one task, the oldest first.
async fn verdicts(store: &Store, id: i64) -> Vec<Option<Verdict>> {
    let filter = HistoryFilter { task_id: Some(id), limit: 100, ..HistoryFilter::default() };
    let mut rows = store.history(&filter).await.unwrap();
    rows.reverse();
    rows.into_iter().map(|row| row.verdict).collect()
}
