//! Schedules of the database: rows that applications and the command line write, and that all nodes execute.

mod attacker;
mod client;
mod cluster;
mod commands;
mod mistakes;
mod rules;
mod shadowed;

use std::{path::Path, process::Output};

use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use sexton::store::{HistoryFilter, Store};
use sexton_entities::{history, states::Outcome};

use crate::support::{Printed, eventually, on_each_database, sexton};

/// Tasks without schedules. Nodes look as often as they beat where the database does not tell.
const SETTINGS: &str = "heartbeat = \"500ms\"\n[queue.slow]\nworkers = 1\n[task.report]\nkind = \"noop\"\n\
    [task.other]\nkind = \"noop\"\n[task.long]\ncommand = [\"sleep\", \"600\"]\n";

async fn execute(store: &Store, sql: &str) {
    store.connection().execute_unprepared(sql).await.unwrap();
}

/// The attempts of a schedule.
async fn runs(store: &Store, schedule: &str) -> Vec<history::Model> {
    let filter = HistoryFilter { schedule: Some(schedule.to_owned()), limit: 10_000, ..HistoryFilter::default() };
    store.history(&filter).await.unwrap()
}

async fn fires(store: &Store, schedule: &str, times: usize) {
    eventually(&format!("{schedule} has run {times} times"), async || runs(store, schedule).await.len() >= times).await;
}

fn call(file: &Path, arguments: &[&str]) -> Output {
    let output = sexton(file).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output
}

/// What a command says that must fail.
fn refused(file: &Path, arguments: &[&str]) -> String {
    let output = sexton(file).args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}: {}", output.text());
    output.errors()
}

/// A schedule in `schedule list --json`.
fn listed(file: &Path, name: &str) -> Value {
    let all = call(file, &["schedule", "list", "--json"]).json();
    all.as_array().unwrap().iter().find(|known| known["name"] == name).cloned().unwrap_or_default()
}

on_each_database! {
    async fn an_insert_an_update_and_a_delete_are_in_force(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", SETTINGS);
        execute(&store, "INSERT INTO sexton_schedule (name, task, cron, timezone, payload) \
                         VALUES ('nightly', 'report', '0 2 * * *', 'Europe/Berlin', '{\"of\": 18446744073709551615}')").await;
        let spec = async |name: &str| store.schedule(name).await.unwrap().map(|row| row.spec).unwrap_or_default();
        eventually("a node has read it", async || spec("nightly").await.contains("Europe/Berlin")).await;
        let row = store.schedule("nightly").await.unwrap().unwrap();
        eventually("its next instant is known", async || {
            store.schedule("nightly").await.unwrap().unwrap().next_at.is_some()
        }).await;
        assert_eq!((row.origin.as_str(), row.paused), ("database", false));
        execute(&store, "UPDATE sexton_schedule SET cron = NULL, timezone = NULL, settings = '{\"every\": \"300ms\"}' \
                         WHERE name = 'nightly'").await;
        fires(&store, "nightly", 2).await;
        let run = runs(&store, "nightly").await.remove(0);
        assert_eq!((run.name.as_str(), run.outcome), ("report", Outcome::Succeeded));
        assert_eq!(run.payload.unwrap().get().replace(' ', ""), "{\"of\":18446744073709551615}");
        execute(&store, "DELETE FROM sexton_schedule WHERE name = 'nightly'").await;
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) \
                         VALUES ('second', 'other', '{\"every\": \"200ms\"}')").await;
        fires(&store, "second", 1).await;
        eventually("nothing of the first is left", async || {
            super::daemon::count(&store, "COUNT(*) FROM sexton_task WHERE schedule = 'nightly'").await == 0
        }).await;
        let before = runs(&store, "nightly").await.len();
        let more = runs(&store, "second").await.len() + 3;
        fires(&store, "second", more).await;
        assert_eq!(runs(&store, "nightly").await.len(), before);
        let log = daemon.stop();
        assert!(!log.contains("ERROR"), "{log}");
    }

    async fn a_run_has_the_settings_of_its_schedule(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", SETTINGS);
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) VALUES ('short', 'long', \
                         '{\"every\": \"1s\", \"timeout\": \"100ms\", \"kill_after\": \"0s\", \"queue\": \"slow\", \"max_attempts\": 2, \
                         \"retry\": {\"delay\": \"10ms\", \"jitter\": 0}, \"overlap\": \"skip\", \"expect\": true}')").await;
        eventually("a run has failed for good", async || {
            runs(&store, "short").await.iter().any(|run| run.attempt == 2 && run.outcome == Outcome::TimedOut)
        }).await;
        assert!(runs(&store, "short").await.iter().all(|run| run.queue.as_deref() == Some("slow")));
        eventually("what is expected is entered", async || {
            let row = store.schedule("short").await.unwrap().unwrap();
            row.expect.is_some() && row.expected_by.is_some()
        }).await;
        store.pause_schedule("short", true).await.unwrap();
        eventually("its instants are skipped", async || {
            let ledger = store.occurrences("short", 1).await.unwrap();
            ledger[0].reason_code == Some(sexton_entities::states::ReasonCode::Paused)
        }).await;
        daemon.stop();
    }
}
