//! Queues that are full, and queues that nobody serves: the log, the status, and what is said of their tasks.

use std::path::Path;

use sea_orm::ConnectionTrait as _;
use sexton::{
    Client, NewTask,
    store::{Enqueued, TaskFilter},
};
use sexton_entities::states::{Outcome, TaskState};

use super::{completed, history};
use crate::{
    commands::unusual,
    support::{Daemon, Database, Kind, Printed, block_on, eventually, on_each_database, sexton},
};

fn text(config: &Path, arguments: &[&str]) -> String {
    let output = sexton(config).args(arguments).output().unwrap();
    output.text() + &output.errors()
}

fn json(config: &Path, arguments: &[&str]) -> serde_json::Value {
    sexton(config).args(arguments).arg("--json").output().unwrap().json()
}

async fn enqueue(store: &sexton::store::Store, name: &str, queue: &str) -> i64 {
    match Client::new(store.clone()).enqueue(NewTask::new(name).queue(queue)).await.unwrap() {
        Enqueued::New(id) => id,
        there => panic!("{there:?}"),
    }
}

on_each_database! {
    async fn a_full_queue_is_visible(database: Database) {
        let store = database.store().await;
        let sleep = unusual();
        let config = database.config("n", &format!(
            "workers = 2\nreport_full_after = \"100ms\"\n\
             [task.hang]\ncommand = [\"sleep\", \"{sleep}\"]\n[task.quick]\nkind = \"noop\"\n\
             [task.tick]\nkind = \"noop\"\nschedule = {{ every = \"1s\" }}"
        ));
        let daemon = Daemon::start(&config, &["run"]);
        let first = enqueue(&store, "hang", "default").await;
        eventually("it runs", async || store.task(first).await.unwrap().unwrap().state == TaskState::Running).await;
        let second = enqueue(&store, "hang", "default").await;
        eventually("both run", async || store.task(second).await.unwrap().unwrap().state == TaskState::Running).await;
        let quick = enqueue(&store, "quick", "default").await;
        // The log, once.
        daemon.wait_for_log("queue default has had no free worker for ");
        let longest = format!("the longest with hang (task {first}) for ");
        assert!(daemon.log().contains(&format!(": all 2 workers are busy, {longest}")), "{}", daemon.log());
        // The status, the list and the summary.
        assert!(text(&config, &["status"]).contains("default has had no free worker for "), "{}", text(&config, &["status"]));
        let status = json(&config, &["status"]);
        let full = &status["daemon"]["full_queues"][0];
        assert_eq!((full["queue"].as_str(), full["workers"].as_u64(), full["longest_id"].as_i64()), (Some("default"), Some(2), Some(first)));
        eventually("the other nodes learn it", async || json(&config, &["queue", "list"])[0]["full_since"].is_string()).await;
        let listed = json(&config, &["queue", "list"]);
        assert_eq!((listed[0]["service"].as_str(), listed[0]["workers"].as_u64()), (Some("served"), Some(2)));
        assert_eq!(listed[0]["longest"]["id"].as_i64(), Some(first));
        let summary = text(&config, &["summary"]);
        assert!(summary.contains(&format!("the longest runs hang (task {first}) for ")), "{summary}");
        // The task that waits, and the instant of a schedule.
        let busy = format!("all 2 workers of queue default are busy, {longest}");
        let quick = quick.to_string();
        // Short tasks may have been claimed ahead. Those are given back, and no more are claimed.
        let waits = format!("\nit has not begun: {busy}");
        eventually("its task says so", async || text(&config, &["task", "show", &quick]).contains(&waits)).await;
        eventually("also for programs", async || {
            json(&config, &["task", "show", &quick])["waits_code"] == "workers_busy"
        })
        .await;
        eventually("an instant waits", async || {
            let ledger = json(&config, &["history", "--schedule", "tick"]);
            ledger.as_array().unwrap().iter().any(|instant| instant["waits_code"] == "workers_busy")
        })
        .await;
        let waits = format!(", which has not begun: {busy}");
        eventually("its sentence says so", async || {
            let ledger = json(&config, &["history", "--schedule", "tick"]);
            let says = |why: &str| why.starts_with("tick was enqueued at ") && why.contains(&waits);
            ledger.as_array().unwrap().iter().any(|instant| says(instant["why"].as_str().unwrap()))
        })
        .await;
        let log = daemon.log();
        let (full, free) = (log.matches("has had no free worker for").count(), log.matches("a free worker again").count());
        assert_eq!(full, free + 1, "it is logged once: {log}");
        assert_eq!(text(&config, &["task", "cancel", &first.to_string()]), format!("task {first} is running; its node will stop it\n"));
        daemon.wait_for_log("queue default has a free worker again");
        eventually("the queue goes on", async || completed(&store).await >= 1).await;
        text(&config, &["task", "cancel", &second.to_string()]);
        eventually("the hung ones are gone", async || store.task(second).await.unwrap().is_none()).await;
        daemon.stop();
    }

    async fn a_queue_that_nobody_serves_is_visible(database: Database) {
        let store = database.store().await;
        let tables = "[queue.reports]\nworkers = 0\n[queue.mail]\nworkers = 1\n[task.it]\nkind = \"noop\"";
        let config = database.config("n", tables);
        assert!(sexton(&config).args(["db", "migrate"]).output().unwrap().status.success());
        // Without a daemon.
        let added = text(&config, &["task", "add", "it"]);
        assert!(added.ends_with(" is enqueued, but no node is running\n"), "{added}");
        let shown = text(&config, &["task", "show", "1"]);
        assert!(shown.contains("\nit has not begun: no node is running\n"), "{shown}");
        assert_eq!(json(&config, &["queue", "list"])[0]["service"], "no_node");
        let refused = sexton(&config).args(["task", "add", "it", "--queue", "repotrs"]).output().unwrap();
        let hint = "queue `repotrs` is not configured here, and no node serves it; did you mean `reports`?";
        assert!(!refused.status.success() && refused.errors().contains(hint), "{}", refused.errors());
        let daemon = Daemon::start(&config, &["run"]);
        eventually("the first is done", async || completed(&store).await == 1).await;
        eventually("the node has said what it serves", async || json(&config, &["queue", "list"])[0]["service"] == "served").await;
        // No workers, and a queue that was removed.
        let added = text(&config, &["task", "add", "it", "--queue", "reports"]);
        assert!(added.ends_with(" is enqueued, but no node serves queue reports\n"), "{added}");
        let added = text(&config, &["task", "add", "it", "--queue", "removed", "--undefined"]);
        assert!(added.ends_with(" is enqueued, but no node serves queue removed\n"), "{added}");
        daemon.wait_for_log("no node serves queue removed, and 1 task waits there: give it workers in [queue.removed]");
        let status = text(&config, &["status"]);
        assert!(status.contains("removed: no node serves it, and 1 task waits there"), "{status}");
        assert!(status.contains("reports: no node serves it, and 1 task waits there"), "{status}");
        assert_eq!(json(&config, &["status"])["daemon"]["unserved_queues"][1]["queue"], "reports");
        let shown = text(&config, &["task", "show", "3"]);
        assert!(shown.contains("\nit has not begun: no node serves queue removed\n"), "{shown}");
        assert!(text(&config, &["queue", "list"]).contains("no node serves it"));
        let listed = json(&config, &["queue", "list"]);
        let services: Vec<_> = listed.as_array().unwrap().iter().map(|queue| queue["service"].as_str().unwrap()).collect();
        assert_eq!(services, ["served", "served", "nobody", "nobody"]);
        // Moved to a queue with workers.
        let would = text(&config, &["task", "move", "--queue", "removed", "--to", "mail", "--dry-run"]);
        assert_eq!(would, "1 task would be moved from queue removed to queue mail\n");
        assert_eq!(store.task(3).await.unwrap().unwrap().queue.as_deref(), Some("removed"));
        let refused = text(&config, &["task", "move", "--queue", "removed", "--to", "mial"]);
        assert!(refused.contains("queue `mial` is not configured here, and no node serves it; did you mean `mail`?"), "{refused}");
        let moved = text(&config, &["task", "move", "--queue", "removed", "--to", "mail"]);
        assert_eq!(moved, "1 task is moved from queue removed to queue mail\n");
        assert_eq!(json(&config, &["task", "move", "--queue", "reports", "--to", "mail"])["moved"], 1);
        eventually("they are done", async || completed(&store).await == 3).await;
        eventually("the status is clean", async || !text(&config, &["status"]).contains("no node serves")).await;
        daemon.stop();
    }

    async fn a_task_of_a_schedule_expires_behind_a_pause(database: Database) {
        let store = database.store().await;
        let tables = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }\nexpires = \"1s\"\n\
                      [task.aged]\nkind = \"noop\"\nschedule = { every = \"1s\" }\nmissed_age = \"1m\"\noverlap = \"skip\"";
        let config = database.config("n", tables);
        store.pause_queue(&"default".into(), true).await.unwrap();
        let daemon = Daemon::start(&config, &["run"]);
        eventually("some have expired", async || history(&store).await.len() >= 2).await;
        let aged = TaskFilter { name: Some("aged".to_owned()), limit: 1, ..TaskFilter::default() };
        eventually("the other one waits", async || !store.tasks(&aged).await.unwrap().is_empty()).await;
        let task = store.tasks(&aged).await.unwrap().remove(0);
        assert_eq!((task.expires_at.unwrap() - task.due_at.unwrap()).num_milliseconds(), 60_000, "by its age");
        let is_tick = |row: &history::Model| row.task_id.is_some() && row.name == "tick";
        eventually("a task has expired", async || history(&store).await.iter().any(is_tick)).await;
        let row = history(&store).await.into_iter().find(is_tick).unwrap();
        assert_eq!((row.outcome, row.reason_code.as_deref()), (Outcome::Skipped, Some("expired")));
        assert_eq!(row.error.as_deref(), Some("it expired before it began: queue default is paused"));
        daemon.wait_for_log("of queue default expired before the start: queue default is paused: in the history as skipped");
        let (id, due) = (row.task_id.unwrap(), row.due_at.unwrap().to_rfc3339());
        let why = json(&config, &["schedule", "why", "tick", "--at", &due]);
        let end = format!("as task {id}, which was skipped: it expired before it began: queue default is paused");
        assert!(why["why"].as_str().unwrap().ends_with(&end), "{why}");
        assert!(why["why"].as_str().unwrap().starts_with("tick was enqueued "), "{why}");
        let waited = sexton(&config).args(["task", "wait", &id.to_string()]).output().unwrap();
        assert_eq!(waited.status.code(), Some(1), "it was not done");
        daemon.stop();
    }
}

#[test]
fn an_old_node_that_is_silent_about_its_queues_raises_no_alarm() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let config = database.config("n", "[task.it]\nkind = \"noop\"");
        // As a node of the version before: registered, without a word about queues.
        let sql = "INSERT INTO sexton_node (id, name, host, version, state, pid, lease_expires_at) \
                   VALUES ('old-1', 'old', 'h', '0', 'running', 1, '2999-01-01T00:00:00.000000+00:00')";
        store.connection().execute_unprepared(sql).await.unwrap();
        let id = enqueue(&store, "it", "elsewhere").await;
        assert_eq!(json(&config, &["task", "show", &id.to_string()])["waits"], serde_json::Value::Null);
        let listed = json(&config, &["queue", "list"]);
        assert_eq!((listed[1]["name"].as_str(), listed[1]["service"].as_str()), (Some("elsewhere"), Some("unknown")));
        assert_eq!(text(&config, &["task", "add", "it", "--expires", "10m"]), "task 2 is enqueued\n");
        let shown = text(&config, &["task", "show", "2"]);
        assert!(shown.contains(", expires "), "{shown}");
        let task = store.task(2).await.unwrap().unwrap();
        assert_eq!((task.expires_at.unwrap() - task.run_at).num_seconds(), 600);
        let late = text(&config, &["task", "add", "it", "--at", "2030-01-02", "--expires", "2030-01-01"]);
        assert!(late.contains("which is not after its earliest start"), "{late}");
    });
}

#[test]
fn a_default_time_limit_is_a_setting_of_a_queue_and_of_the_daemon() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let store = database.store().await;
        let hang = |name: &str, more: &str| {
            format!("[task.{name}]\ncommand = [\"sleep\", \"{}\"]\nkill_after = \"1s\"\n{more}\n", unusual())
        };
        let config = database.config("n", &[
            "timeout = \"300ms\"\n[queue.slow]\nworkers = 2\ntimeout = \"400ms\"\n[queue.free]\nworkers = 1\ntimeout = \"none\"\n".to_owned(),
            hang("plain", ""), hang("slow", "queue = \"slow\""), hang("own", "timeout = \"500ms\""),
            hang("free", "queue = \"free\""), hang("unlimited", "timeout = \"none\""),
        ].concat());
        let shown = text(&config, &["config", "show"]);
        assert!(shown.contains("timeout = \"300ms\"") && shown.contains("timeout = \"none\""), "{shown}");
        let daemon = Daemon::start(&config, &["run"]);
        for (name, limit) in [("plain", "300ms"), ("slow", "400ms"), ("own", "500ms")] {
            Client::new(store.clone()).enqueue(NewTask::new(name)).await.unwrap();
            let of_name = async || history(&store).await.into_iter().find(|row| row.name == name);
            eventually("it is stopped", async || of_name().await.is_some()).await;
            let row = of_name().await.unwrap();
            assert_eq!(row.outcome, Outcome::TimedOut);
            assert!(row.error.unwrap().starts_with(&format!("the time limit of {limit} was reached")), "{name}");
        }
        for name in ["free", "unlimited"] {
            let id = enqueue(&store, name, if name == "free" { "free" } else { "default" }).await;
            eventually("it runs", async || store.task(id).await.unwrap().unwrap().state == TaskState::Running).await;
            // Others, with a limit, begin and end meanwhile.
            let before = history(&store).await.len();
            Client::new(store.clone()).enqueue(NewTask::new("own")).await.unwrap();
            eventually("another one is stopped", async || history(&store).await.len() > before).await;
            assert_eq!(store.task(id).await.unwrap().unwrap().state, TaskState::Running);
            text(&config, &["task", "cancel", &id.to_string()]);
            eventually("it is cancelled", async || store.task(id).await.unwrap().is_none()).await;
        }
        daemon.stop();
    });
}
