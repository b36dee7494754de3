//! Locks held by others: work goes on, and the operator reads who holds them.

use std::process::Command;

use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait as _};
use sexton::{Client, NewTask};
use sexton_entities::states::{Outcome, Verdict};

use super::{completed, count, history};
use crate::support::{Database, Kind, Printed as _, block_on, eventually, sexton};

/// One connection of an application.
async fn one_connection(database: &Database) -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(database.url.clone());
    options.max_connections(1).min_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

async fn survives_a_lock_on_the_tasks(kind: Kind) {
    let database = Database::new(kind).await;
    let store = database.store().await;
    let settings = "heartbeat = \"500ms\"\nlease = \"5s\"\n[task.nap]\ncommand = [\"sleep\", \"14\"]\n\
                    [task.nothing]\nkind = \"noop\"";
    let daemon = database.daemon("n", settings);
    let client = Client::new(store.clone());
    client.enqueue(NewTask::new("nap")).await.unwrap();
    eventually("it runs", async || count(&store, "COUNT(*) FROM sexton_task WHERE state = 'running'").await == 1).await;
    let holder = one_connection(&database).await;
    // Two and a half leases long, while the task runs.
    match kind {
        Kind::MariaDb => {
            holder.execute_unprepared("LOCK TABLES sexton_task WRITE").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_secs(12)).await;
            holder.execute_unprepared("UNLOCK TABLES").await.unwrap();
        }
        _ => {
            let transaction = holder.begin().await.unwrap();
            transaction.execute_unprepared("LOCK TABLE sexton_task IN ACCESS EXCLUSIVE MODE").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_secs(12)).await;
            transaction.rollback().await.unwrap();
        }
    }
    client.enqueue(NewTask::new("nothing")).await.unwrap();
    eventually("all is done", async || completed(&store).await == 2).await;
    let rows = history(&store).await;
    assert_eq!(rows.len(), 2, "nothing was interrupted: {rows:#?}");
    assert!(rows.iter().all(|row| (row.outcome, row.verdict) == (Outcome::Succeeded, Some(Verdict::Completed))));
    let log = daemon.stop();
    assert!(!log.contains("lease"), "{log}");
    let named = log.lines().filter(|line| line.contains("a statement has waited for 5 s (`")).collect::<Vec<_>>();
    assert_eq!(named.len(), 1, "once a minute:\n{log}");
    let holder = if kind == Kind::Postgres { "blocked by process " } else { "a statement has waited" };
    assert!(named[0].contains(holder), "{}", named[0]);
}

#[test]
fn a_lock_on_the_tasks_of_postgres_is_survived_and_its_holder_named() {
    block_on(survives_a_lock_on_the_tasks(Kind::Postgres));
}

#[test]
fn a_lock_on_the_tasks_of_mariadb_is_survived() {
    block_on(survives_a_lock_on_the_tasks(Kind::MariaDb));
}

#[test]
fn who_locks_a_row_on_mariadb_is_named() {
    block_on(async {
        let database = Database::new(Kind::MariaDb).await;
        let store = database.store().await;
        let daemon = database.daemon("n", "heartbeat = \"500ms\"\nlease = \"30s\"");
        let holder = one_connection(&database).await;
        let transaction = holder.begin().await.unwrap();
        transaction.execute_unprepared("UPDATE sexton_node SET host = host").await.unwrap();
        daemon.wait_for_log("blocked by connection ");
        transaction.rollback().await.unwrap();
        drop(store);
        daemon.stop();
    });
}

#[test]
fn who_writes_to_the_sqlite_file_is_named() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let daemon = database.daemon("n", "[task.nothing]\nkind = \"noop\"");
        let holder = one_connection(&database).await;
        Client::new(store.clone()).enqueue(NewTask::new("nothing")).await.unwrap();
        holder.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
        daemon.wait_for_log("another process writes to the database file");
        let text = format!("another process writes to the database file (process {}, ", std::process::id());
        assert!(daemon.log().contains(&text), "{}", daemon.log());
        holder.execute_unprepared("ROLLBACK").await.unwrap();
        eventually("it goes on", async || completed(&store).await == 1).await;
        daemon.stop();
    });
}

#[test]
fn a_summary_does_not_hang() {
    block_on(async {
        let database = Database::new(Kind::Postgres).await;
        let _store = database.store().await;
        let holder = one_connection(&database).await;
        let transaction = holder.begin().await.unwrap();
        transaction.execute_unprepared("LOCK TABLE sexton_task IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut summary: Command = sexton(&database.config("n", ""));
        let output = summary.arg("summary").output().unwrap();
        assert!(!output.status.success());
        assert!(output.errors().contains("within 5 s"), "{}", output.errors());
        transaction.rollback().await.unwrap();
    });
}
