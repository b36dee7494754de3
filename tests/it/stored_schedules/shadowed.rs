//! A schedule of the database and one of a file with the same name: the file goes before, and that is said.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use sexton_entities::states::Origin;

use super::{SETTINGS, call, execute, fires, listed, runs};
use crate::support::{Printed as _, eventually, on_each_database};

on_each_database! {
    async fn the_file_goes_before_the_database_until_it_leaves(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", SETTINGS);
        let file = database.folder.path().join("n/sexton.toml");
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) VALUES ('nightly', 'report', '{\"every\": \"200ms\"}')").await;
        fires(&store, "nightly", 2).await;
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}[schedule.nightly]\ntask = \"other\"\nevery = \"300ms\"\n")).unwrap();
        daemon.signal(Signal::SIGHUP);
        eventually("the one of the file runs", async || {
            runs(&store, "nightly").await.iter().any(|run| run.name == "other")
        }).await;
        daemon.wait_for_log("schedule nightly of the database is not in force: a configuration file defines");
        let row = store.schedule("nightly").await.unwrap().unwrap();
        assert_eq!((row.origin, row.task.as_str(), row.shadowed_task.as_deref()), (Origin::Config, "other", Some("report")));
        let shown = listed(&file, "nightly");
        assert!(shown["unused"].as_str().unwrap().contains("a configuration file defines schedule nightly"), "{shown}");
        assert!(call(&file, &["schedule", "list"]).text().contains("active; the one in the database is not"), "{}", call(&file, &["schedule", "list"]).text());
        fs::write(&file, &text).unwrap();
        daemon.signal(Signal::SIGHUP);
        eventually("the one of the database is in force again", async || {
            let row = store.schedule("nightly").await.unwrap().unwrap();
            row.origin == Origin::Database && row.task == "report" && row.shadowed_task.is_none()
        }).await;
        let before = runs(&store, "nightly").await.iter().filter(|run| run.name == "report").count();
        eventually("it runs again", async || {
            runs(&store, "nightly").await.iter().filter(|run| run.name == "report").count() > before
        }).await;
        assert_eq!(listed(&file, "nightly")["unused"], Value::Null);
        let log = daemon.stop();
        assert_eq!(log.matches("of the database is not in force").count(), 1, "{log}");
    }

    async fn the_definition_in_the_database_can_be_removed_beside_the_file(database: Database) {
        let store = database.store().await;
        let file = database.config("n", SETTINGS);
        call(&file, &["schedule", "add", "nightly", "--task", "report", "--every", "1h"]);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}[schedule.nightly]\ntask = \"other\"\nevery = \"300ms\"\n")).unwrap();
        call(&file, &["run", "--once"]);
        assert_eq!(store.schedule("nightly").await.unwrap().unwrap().shadowed_task.as_deref(), Some("report"));
        call(&file, &["schedule", "remove", "nightly"]);
        let row = store.schedule("nightly").await.unwrap().unwrap();
        assert_eq!((row.origin, row.task.as_str(), row.shadowed_task, row.settings), (Origin::Config, "other", None, None));
        assert_eq!(listed(&file, "nightly")["unused"], Value::Null);
    }
}
