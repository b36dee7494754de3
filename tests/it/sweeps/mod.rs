//! Sweeps: rows of an application's table become tasks.

mod batches;
mod commands;
mod killed;
mod rounds;
mod values;

use std::path::Path;

use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use sexton::store::{HistoryFilter, Store, TaskFilter};
use sexton_entities::{history, task};

use crate::support::{Database, Printed as _, eventually, sexton, value};

/// Tasks of the rows stay where a test can see them.
const SETTINGS: &str = "heartbeat = \"500ms\"\nlease = \"3s\"\n[queue.held]\nworkers = 0\n[task.remind]\nkind = \"noop\"\n\
    queue = \"held\"\n";

async fn execute(store: &Store, sql: &str) {
    store.connection().execute_unprepared(sql).await.unwrap();
}

/// A store with a table of customers, numbered from 1.
async fn with_customers(database: &Database, count: usize) -> Store {
    let store = database.store().await;
    execute(&store, "CREATE TABLE customer (id integer NOT NULL PRIMARY KEY, email varchar(100), age integer)").await;
    for number in 1..=count {
        let sql = ["INSERT INTO customer (id, email, age) VALUES (", &number.to_string(), ", 'c@example.org', 40)"];
        execute(&store, &sql.concat()).await;
    }
    store
}

/// A sweep over the customers.
fn sweep(more: &str) -> String {
    format!(
        "{SETTINGS}[sweep.old]\nselect = \"SELECT id, email FROM customer ORDER BY id\"\ntask = \"remind\"\nkey = \"id\"\n{more}\n"
    )
}

/// Starts a round, and waits for its end.
async fn round(store: &Store, file: &Path, arguments: &[&str]) -> history::Model {
    let id = json(file, &[&["sweep", "run", "old"], arguments].concat())["id"].as_i64().unwrap();
    ended(store, id).await
}

/// The last row of a task in the history.
async fn ended(store: &Store, id: i64) -> history::Model {
    let is_over = async || store.task(id).await.unwrap().is_none();
    eventually(&format!("task {id} ends"), is_over).await;
    let filter = HistoryFilter { task_id: Some(id), limit: 1, ..HistoryFilter::default() };
    store.history(&filter).await.unwrap().remove(0)
}

/// The numbers of a round: found, enqueued, already there, refused, and whether rows are left over.
fn numbers(row: &history::Model) -> (u64, u64, u64, u64, bool) {
    let result = value(&row.result).unwrap_or_else(|| panic!("no result: {:?}", row.error));
    let number = |field: &str| result[field].as_u64().unwrap();
    let left_over = result["left_over"].as_bool().unwrap();
    (number("found"), number("enqueued"), number("already_there"), number("refused"), left_over)
}

/// The tasks of rows, the oldest first.
async fn tasks(store: &Store) -> Vec<task::Model> {
    let filter = TaskFilter { name: Some("remind".to_owned()), limit: 100_000, ..TaskFilter::default() };
    store.tasks(&filter).await.unwrap()
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let output = sexton(file).arg("--json").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.json()
}
