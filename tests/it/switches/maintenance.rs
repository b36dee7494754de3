//! Maintenance: nothing begins on any node, until it is over.

use chrono::{TimeDelta, Utc};
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use sexton::{
    Client, NewTask,
    domain::identity::QueueName,
    store::{Heartbeat, Store},
};
use sexton_entities::states::NodeState;

use super::{call, done, json};
use crate::{
    daemon::count,
    support::{Daemon, Printed as _, eventually, on_each_database},
};

const SETTINGS: &str = "heartbeat = \"200ms\"\n[task.send]\nkind = \"noop\"\n\
                        [task.long]\ncommand = [\"sh\", \"-c\", \"while [ ! -e go ]; do sleep 0.05; done\"]\n\
                        [task.often]\nkind = \"noop\"\nschedule = { every = \"1s\" }";

async fn rows(store: &Store) -> i64 {
    count(store, "COUNT(*) FROM sexton_maintenance").await
}

on_each_database! {
    async fn nothing_begins_on_any_node_during_a_maintenance(database: Database) {
        let store = database.store().await;
        let go = database.folder.path().join("go");
        let settings = SETTINGS.replace("-e go", &format!("-e {}", go.display()));
        let (one, other) = (database.config("one", &settings), database.config("other", &settings));
        let first = Daemon::start(&one, &["run"]);
        let second = Daemon::start(&other, &["run"]);
        let long = json(&one, &["task", "add", "long"])["id"].to_string();
        eventually("it runs", async || count(&store, "COUNT(*) FROM sexton_task WHERE state = 'running' AND name = 'long'").await == 1).await;
        assert_eq!(done(&one, &["maintenance"]), "no maintenance is on\n");
        let told = done(&one, &["maintenance", "on", "--reason", "a new release"]);
        assert!(told.starts_with("maintenance is on since ") && told.contains(": a new release\n"), "{told}");
        let id = json(&one, &["task", "add", "send"])["id"].to_string();
        for daemon in [&first, &second] {
            daemon.wait_for_log(": a new release; nothing new begins until `sexton maintenance off`");
        }
        let fired = count(&store, "COUNT(*) FROM sexton_occurrence WHERE schedule = 'often'").await;
        // What runs ends.
        std::fs::write(&go, "").unwrap();
        done(&one, &["task", "wait", &long, "--timeout", "60s"]);
        let shown = json(&one, &["task", "show", &id]);
        assert_eq!(shown["waits_code"], "maintenance");
        assert!(shown["waits"].as_str().unwrap().starts_with("it waits: maintenance is on since "), "{shown}");
        for file in [&one, &other] {
            eventually("the status says so", async || json(file, &["status"])["daemon"]["maintenance"]["reason"] == "a new release").await;
            let status = done(file, &["status"]);
            assert!(status.contains("maintenance   on since ") && status.contains("; maintenance is on: claiming nothing"), "{status}");
        }
        assert!(done(&one, &["summary"]).starts_with("Maintenance is on since "));
        assert!(done(&one, &["queue", "list"]).contains("maintenance is on"));
        assert!(call(&one, &["check"]).text().contains("maintenance is on: a new release"));
        let add = done(&one, &["task", "add", "send"]);
        assert!(add.contains(", but maintenance is on: it waits"), "{add}");
        assert!(done(&one, &["resume"]).contains("; a maintenance is on (`sexton maintenance off`)"));
        // It survives restarts, and `run --once` has nothing to do.
        first.stop();
        done(&one, &["run", "--once"]);
        let first = Daemon::start(&one, &["run"]);
        first.wait_for_log(": a new release; nothing new begins until");
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task WHERE name = 'send'").await, 2);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_occurrence WHERE schedule = 'often'").await, fired, "no schedule fires");
        let over = done(&one, &["maintenance", "off", "--reason", "all is well"]);
        assert!(over.starts_with("the maintenance is over; it was on since "), "{over}");
        done(&one, &["task", "wait", &id, "--timeout", "60s"]);
        second.wait_for_log("the maintenance is over");
        eventually("the schedule fires again", async || count(&store, "COUNT(*) FROM sexton_occurrence WHERE schedule = 'often'").await > fired).await;
        let deeds = json(&one, &["audit", "list", "-n", "50"]);
        let of_it: Vec<_> = deeds.as_array().unwrap().iter().filter(|deed| deed["name"] == "maintenance").collect();
        assert_eq!(of_it.len(), 2, "{deeds:#}");
        assert_eq!((&of_it[0]["action"], &of_it[0]["reason"]), (&json!("resume"), &json!("all is well")));
        assert_eq!((&of_it[1]["action"], &of_it[1]["target"], &of_it[1]["reason"]), (&json!("pause"), &json!("cluster"), &json!("a new release")));
        assert_eq!(done(&one, &["maintenance", "off"]), "no maintenance was on\n");
        assert_eq!(json(&one, &["maintenance"])["on"], false);
        first.stop();
        second.stop();
    }

    async fn a_maintenance_ends_by_itself(database: Database) {
        let store = database.store().await;
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::start(&file, &["run"]);
        let past = call(&file, &["maintenance", "on", "--until", "2001-01-01"]);
        assert!(past.errors().contains("--until: ") && past.errors().contains(" is past"), "{}", past.errors());
        let begun = json(&file, &["maintenance", "on", "--until", "4s", "--reason", "short"]);
        assert_eq!((&begun["on"], &begun["reason"]), (&json!(true), &json!("short")));
        let end: chrono::DateTime<Utc> = begun["ends_at"].as_str().unwrap().parse().unwrap();
        Client::new(store.clone()).enqueue(NewTask::new("send")).await.unwrap();
        daemon.wait_for_log(": short; nothing new begins until 20");
        eventually("the task is done", async || count(&store, "COUNT(*) FROM sexton_history WHERE name = 'send'").await == 1).await;
        let rows_of_it = store.history(&sexton::store::HistoryFilter { name: Some("send".to_owned()), limit: 1, ..Default::default() }).await.unwrap();
        assert!(rows_of_it[0].started_at.unwrap() >= end - TimeDelta::seconds(1), "not before the end");
        daemon.wait_for_log("the maintenance is over");
        eventually("its row is gone", async || rows(&store).await == 0).await;
        daemon.stop();
    }

    async fn an_application_may_begin_a_maintenance_and_read_it(database: Database) {
        let store = database.store().await;
        let node = "n".into();
        let beat = Heartbeat {
            id: "n".into(), name: "n".into(), host: "h".into(), pid: 1, state: NodeState::Running,
            lease: std::time::Duration::from_secs(600), modules: json!([]),
        };
        store.register(&beat).await.unwrap();
        store.enqueue(store.connection(), &NewTask::new("send").queue("q")).await.unwrap();
        let queue: QueueName = "q".into();
        let queues = [queue.clone()];
        let application = store.connection();
        application.execute_unprepared("INSERT INTO sexton_maintenance (reason) VALUES ('a move')").await.unwrap();
        assert_eq!(store.halt().await.unwrap().maintenance.unwrap().reason.as_deref(), Some("a move"));
        let peeked = store.peek(&queues).await.unwrap();
        assert!(peeked.queues.is_empty() && peeked.maintenance.is_some_and(|end| end.ends_at.is_none()));
        assert!(store.claim(&node, &queue, 9).await.unwrap().tasks.is_empty());
        store.begin_maintenance(Some(store.now().await.unwrap() + TimeDelta::hours(1))).await.unwrap();
        assert_eq!(rows(&store).await, 1, "the same one, with an end");
        assert!(store.peek(&queues).await.unwrap().maintenance.is_some_and(|end| end.ends_at.is_some()));
        // It is over although its row is there.
        store.begin_maintenance(Some(store.now().await.unwrap() - TimeDelta::seconds(1))).await.unwrap();
        assert_eq!((rows(&store).await, store.halt().await.unwrap().maintenance), (1, None));
        assert_eq!(store.peek(&queues).await.unwrap().queues, queues);
        store.remove_ended_maintenance().await.unwrap();
        assert_eq!(rows(&store).await, 0);
        assert_eq!(store.claim(&node, &queue, 9).await.unwrap().tasks.len(), 1);
    }
}
