//! Several nodes that do not agree: on how a schedule is defined, or on their names.

use std::{path::Path, time::Duration};

use chrono::TimeDelta;
use sea_orm::ConnectionTrait as _;
use sexton::store::Heartbeat;
use sexton_entities::states::{Fate, NodeState};

use super::{completed, history};
use crate::support::{Daemon, Printed as _, eventually, on_each_database, sexton};

const SHORT: &str = "stop_timeout = \"1s\"\nlease = \"2s\"\nheartbeat = \"300ms\"\n";

/// A schedule of the task `tick`.
fn tick(schedule: &str) -> String {
    format!("{SHORT}[task.tick]\nkind = \"noop\"\nschedule = {schedule}\n")
}

/// What the program prints.
async fn printed(file: &Path, arguments: &[&str]) -> String {
    let mut command = sexton(file);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap().text()).await.unwrap()
}

on_each_database! {
    async fn of_two_definitions_one_is_in_force_and_everybody_says_so(database: Database) {
        let store = database.store().await;
        let alpha_file = database.config("alpha", &tick("{ every = \"400ms\" }"));
        let alpha = Daemon::start(&alpha_file, &["run"]);
        eventually("alpha has fired", async || completed(&store).await >= 2).await;
        let mut beta = Daemon::start(&database.config("beta", &tick("{ every = \"700ms\" }")), &["run"]);
        let said = "nodes alpha and beta define schedule tick differently; the definition of beta, of ";
        for node in [&alpha, &beta] {
            node.wait_for_log(said);
        }
        let since = store.schedule("tick").await.unwrap().unwrap().defined_at.unwrap();
        eventually("beta has fired", async || {
            store.occurrences("tick", 3).await.unwrap().iter().all(|entry| entry.due_at > since)
        }).await;
        let ledger = store.occurrences("tick", 1_000).await.unwrap();
        let after = ledger.iter().filter(|entry| entry.due_at > since);
        assert!(after.clone().all(|entry| entry.node.starts_with("beta")), "only one definition runs: {ledger:?}");
        for arguments in [&["schedule", "why", "tick"][..], &["schedule", "show", "tick"], &["check", "--schedule", "tick"]] {
            let text = printed(&alpha_file, arguments).await;
            assert!(text.contains("nodes alpha and beta define schedule tick differently"), "{arguments:?}: {text}");
        }
        let list = printed(&alpha_file, &["schedule", "list"]).await;
        assert!(list.contains("differently"), "{list}");
        beta.kill();
        // Alpha looks every 10 s whether its definition is in force.
        crate::support::within(Duration::from_secs(90), "the definition of alpha is in force", async || {
            store.schedule("tick").await.unwrap().unwrap().defined_on.as_deref() == Some("alpha")
        }).await;
        alpha.wait_for_log("all nodes with schedule tick define it in the same way again");
        alpha.stop();
    }

    async fn a_schedule_whose_only_node_is_down_is_told_on_the_other(database: Database) {
        let store = database.store().await;
        let file = database.config("alpha", SHORT);
        let alpha = Daemon::start(&file, &["run"]);
        let mut beta = Daemon::start(&database.config("beta", &tick("\"0 0 1 1 *\"")), &["run"]);
        eventually("beta says what it has", async || {
            store.nodes().await.unwrap().iter().any(|node| node.schedules.as_ref().is_some_and(|all| all.get("tick").is_some()))
        }).await;
        assert!(!printed(&file, &["schedule", "list"]).await.contains("no running node"));
        beta.kill();
        eventually("its row is gone", async || store.nodes().await.unwrap().len() == 1).await;
        let said = "no running node has schedule tick: node beta, the last one with it, has not been seen since ";
        for arguments in [&["schedule", "show", "tick"][..], &["check", "--schedule", "tick"], &["check"]] {
            let text = printed(&file, arguments).await;
            assert!(text.contains(said), "{arguments:?}: {text}");
        }
        let summary = printed(&file, &["summary"]).await;
        assert!(summary.contains("no running node"), "{summary}");
        alpha.stop();
    }

    async fn an_edit_at_the_start_loses_no_missed_instant(database: Database) {
        let store = database.store().await;
        Daemon::start(&database.config("n", &tick("\"0 0 1 1 *\"")), &["run"]).stop();
        let missed = store.now().await.unwrap() - TimeDelta::minutes(10);
        let sql = "UPDATE sexton_schedule SET last_at = '2026-01-01 00:00:00', next_at = NULL";
        store.connection().execute_unprepared(sql).await.unwrap();
        store.set_next_run(&[("tick".to_owned(), missed)]).await.unwrap();
        let daemon = Daemon::start(&database.config("n", &tick("\"30 0 1 1 *\"")), &["run"]);
        eventually("it was made up for", async || completed(&store).await == 1).await;
        daemon.stop();
        let due = history(&store).await[0].due_at.unwrap();
        assert_eq!((due - missed).num_milliseconds(), 0);
        let ledger = store.occurrences("tick", 9).await.unwrap();
        assert_eq!(ledger.iter().map(|entry| entry.fate).collect::<Vec<_>>(), [Fate::Late]);
    }

    async fn a_second_node_of_the_same_name_does_not_start(database: Database) {
        let store = database.store().await;
        let other = Heartbeat {
            id: "n-000000000000".into(),
            name: "n".to_owned(),
            host: "elsewhere".to_owned(),
            pid: 4_711,
            state: NodeState::Running,
            lease: Duration::from_secs(600),
            modules: serde_json::json!([]),
        };
        store.register(&other).await.unwrap();
        let file = database.config("n", SHORT);
        let mut refused = Daemon::spawn(&file, &["run"]);
        // The other one lives.
        let beats = async {
            loop {
                store.heartbeat(&other).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ended = tokio::task::spawn_blocking(move || (refused.wait(), refused.log()));
        let (status, log) = tokio::select! { ended = ended => ended.unwrap(), () = beats => unreachable!() };
        assert_eq!(status.code(), Some(1), "{log}");
        let said = "node n (n-000000000000, process 4711 on host elsewhere) runs already on this database. Two nodes need \
                    two names: set daemon.name, or stop the other one";
        assert!(log.contains(said), "{log}");
        // It gives no sign of life any more.
        let started = Daemon::start(&file, &["run"]);
        started.wait_for_log("it counts as dead");
        started.stop();
    }

    async fn a_queue_that_only_another_node_serves_is_paused(database: Database) {
        let store = database.store().await;
        let here = database.config("here", SHORT);
        let there = database.daemon("there", &format!("{SHORT}[queue.far]\nworkers = 1\n"));
        eventually("its queues are known", async || {
            let live = store.live_queues().await.unwrap();
            live.iter().any(|node| node.queues.as_ref().is_some_and(|queues| queues.contains_key("far")))
        }).await;
        let paused = printed(&here, &["queue", "pause", "far"]).await;
        assert!(paused.starts_with("queue far is paused since "), "{paused}");
        assert!(paused.ends_with("this configuration does not have the queue; it is served by there\n"), "{paused}");
        for (scope, name, said) in [
            ("--queue", "fra", "there is no queue `fra`; did you mean `far`?"),
            ("--task", "fra", "there is no task definition `fra`"),
            ("--schedule", "fra", "there is no schedule `fra`"),
        ] {
            let text = printed(&here, &["check", scope, name]).await;
            assert!(text.starts_with("SEXTON UNKNOWN - ") && text.contains(said), "{text}");
        }
        there.stop();
    }

    async fn a_node_is_back_at_once_after_a_crash(database: Database) {
        let _store = database.store().await;
        let file = database.config("n", "lease = \"10m\"\nstop_timeout = \"1s\"\n");
        let mut crashed = Daemon::start(&file, &["run"]);
        crashed.kill();
        Daemon::start(&file, &["run"]).stop();
    }
}
