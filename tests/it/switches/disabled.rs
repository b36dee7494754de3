//! Definitions that are switched off by the configuration.

use std::path::Path;

use sea_orm::ConnectionTrait as _;
use sexton::{Client, NewTask};
use sexton_entities::states::{Outcome, Verdict};

use super::{done, json, refused};
use crate::{
    daemon::{completed, count, history},
    support::{Daemon, eventually, on_each_database},
};

const SETTINGS: &str = "poll_interval = \"50ms\"\n[task.mail]\nkind = \"noop\"\nqueue = \"default\"\nenabled = false\n\
                        schedule = { every = \"1s\" }\nmissed = \"skip\"\n\
                        [task.other]\nkind = \"noop\"\n";

fn change(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

on_each_database! {
    async fn tasks_of_a_disabled_definition_wait_in_nobodys_way(database: Database) {
        let store = database.store().await;
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::start(&file, &["run"]);
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("mail").queue("default").priority(-1); 1_200]).await.unwrap();
        client.enqueue(NewTask::new("other")).await.unwrap();
        eventually("the other one is done", async || completed(&store).await == 1).await;
        daemon.wait_for_log("task `mail` is disabled: 1200 tasks set aside until it is enabled");
        let added = done(&file, &["task", "add", "mail"]);
        assert!(added.contains(", but `mail` is disabled: it waits until it is enabled"), "{added}");
        let shown = json(&file, &["task", "show", "1"]);
        assert_eq!(shown["waits_code"], "disabled");
        assert!(shown["waits"].as_str().unwrap().starts_with("mail is disabled on n; it waits since "), "{shown}");
        assert!(done(&file, &["task", "show", "1"]).contains("mail is disabled on n; it waits since "));
        eventually("all are set aside", async || count(&store, "COUNT(*) FROM sexton_task WHERE unknown_since IS NOT NULL").await == 1_201).await;
        assert!(done(&file, &["task", "list", "-n", "3"]).contains("scheduled, disabled"));
        eventually("the status counts them", async || {
            done(&file, &["status"]).contains("tasks         `mail` is disabled: 1201 tasks set aside until it is enabled")
        }).await;
        let status = json(&file, &["status"]);
        assert_eq!((&status["daemon"]["disabled_tasks"][0]["tasks"], &status["daemon"]["unknown_tasks"]), (&1_201.into(), &serde_json::json!([])));
        let queues = done(&file, &["queue", "list"]);
        assert!(queues.contains("`mail` is disabled: 1201 tasks set aside"), "{queues}");
        // Its schedule fires nothing.
        let listed = done(&file, &["schedule", "list"]);
        assert!(listed.contains("its task is disabled: it does not fire"), "{listed}");
        // Two seconds ago the daemon may not have run yet.
        eventually("an instant of the daemon's life is explained", async || {
            done(&file, &["schedule", "why", "mail", "--at", "2s"]).contains("its task is disabled (`enabled = false`)")
        }).await;
        assert_eq!(json(&file, &["schedule", "show", "mail"])["disabled"], true);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_occurrence").await, 0);
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history WHERE verdict <> 'completed'").await, 0, "none was discarded or tried");
        // A reload switches it on, and off again.
        change(&file, "enabled = false", "enabled = true");
        daemon.signal(nix::sys::signal::Signal::SIGHUP);
        eventually("what waited is done", async || count(&store, "COUNT(*) FROM sexton_history WHERE name = 'mail' AND schedule IS NULL").await == 1_201).await;
        eventually("its schedule fires", async || count(&store, "COUNT(*) FROM sexton_occurrence WHERE fate = 'fired'").await > 0).await;
        change(&file, "enabled = true", "enabled = false");
        daemon.signal(nix::sys::signal::Signal::SIGHUP);
        daemon.wait_for_log("no task `mail` is set aside any more");
        eventually("the status says it", async || done(&file, &["status"]).contains("`mail` is disabled: ")).await;
        daemon.stop();
    }

    async fn a_node_that_has_it_enabled_executes_it(database: Database) {
        let store = database.store().await;
        let off = database.config("off", SETTINGS);
        let daemon = Daemon::start(&off, &["run"]);
        let client = Client::new(store.clone());
        client.enqueue_all(vec![NewTask::new("mail").queue("default"); 9]).await.unwrap();
        daemon.wait_for_log("task `mail` is disabled: ");
        let on = database.daemon("on", &SETTINGS.replace("enabled = false", "enabled = true").replace("schedule = { every = \"1s\" }\nmissed = \"skip\"\n", ""));
        eventually("all are done", async || completed(&store).await == 9).await;
        client.enqueue_all(vec![NewTask::new("mail").queue("default"); 9]).await.unwrap();
        eventually("and further ones", async || completed(&store).await == 18).await;
        assert!(history(&store).await.iter().all(|row| row.node.as_deref().is_some_and(|node| node.starts_with("on-"))));
        daemon.stop();
        on.stop();
    }

    async fn tasks_of_a_disabled_definition_are_refused_where_that_is_wanted(database: Database) {
        let store = database.store().await;
        let settings = "poll_interval = \"50ms\"\n[task.mail]\nkind = \"noop\"\nenabled = false\nwhen_disabled = \"refuse\"\n";
        let file = database.config("n", settings);
        let daemon = Daemon::start(&file, &["run"]);
        let said = refused(&file, &["task", "add", "mail"]);
        assert!(said.contains("task `mail` is disabled, and its tasks are refused (`enabled = false`, `when_disabled = \"refuse\"`)"), "{said}");
        assert_eq!(count(&store, "COUNT(*) FROM sexton_task").await, 0);
        // Plain SQL is not asked.
        store.connection().execute_unprepared("INSERT INTO sexton_task (name) VALUES ('mail')").await.unwrap();
        eventually("it is on record", async || !history(&store).await.is_empty()).await;
        let row = history(&store).await.remove(0);
        assert_eq!((row.outcome, row.verdict), (Outcome::Failed, Some(Verdict::Discarded)));
        assert!(row.error.unwrap().starts_with("task `mail` is disabled, and its tasks are refused"));
        assert!(done(&file, &["status"]).contains("`mail` is disabled: its tasks are refused"));
        daemon.stop();
    }
}
