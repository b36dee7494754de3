//! `schedule why`, asked of what a real daemon has left behind.

use std::{path::Path, time::Duration};

use sexton_entities::states::Fate;

use super::completed;
use crate::support::{Daemon, Printed, eventually, on_each_database, sexton, within};

fn why(file: &Path, name: &str, at: &str) -> serde_json::Value {
    let output = sexton(file).args(["schedule", "why", name, "--at", at, "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", output.errors());
    output.json()
}

on_each_database! {
    async fn every_instant_is_explained(database: Database) {
        let store = database.store().await;
        let settings = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"1s\" }\n\
                        [task.rare]\nkind = \"noop\"\nschedule = { cron = \"0 0 29 2 *\" }";
        let file = database.config("n", settings);
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it has fired", async || completed(&store).await >= 1).await;
        daemon.stop();
        let last = store.schedules().await.unwrap().into_iter().find(|known| known.name == "tick").unwrap().last_at;
        within(Duration::from_secs(30), "some instants have come", async || {
            (store.now().await.unwrap() - last).num_seconds() >= 4
        })
        .await;
        let next = (last + chrono::TimeDelta::seconds(1)).to_rfc3339();
        let waiting = why(&file, "tick", &next);
        assert!(waiting["why"].as_str().unwrap().ends_with("and no node has entered it yet"), "{waiting}");
        let before = completed(&store).await;
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it fires again", async || completed(&store).await > before).await;
        daemon.stop();
        let delayed = why(&file, "tick", &next);
        assert!(matches!(delayed["fate"].as_str(), Some("fired" | "late")), "{delayed}");
        assert_eq!(delayed["expected"].as_bool(), Some(true));
        let ledger = store.occurrences("tick", 100).await.unwrap();
        let fired = ledger.iter().rev().find(|entry| entry.fate == Fate::Fired).unwrap();
        let ran = why(&file, "tick", &fired.due_at.to_rfc3339());
        assert_eq!((ran["fate"].as_str(), ran["verdict"].as_str()), (Some("fired"), Some("completed")), "{ran}");
        assert!(ran["why"].as_str().unwrap().contains(&format!("as task {}, which was completed", ran["task_id"])));
        assert!(why(&file, "tick", "2020-01-01")["why"].as_str().unwrap().contains("the schedule is newer"));
        assert!(why(&file, "tick", "2090-01-01")["why"].as_str().unwrap().contains("is not due yet"));
        let rare = why(&file, "rare", "2027-01-01T00:00:00Z");
        assert_eq!((rare["before"].as_str(), rare["after"].as_str()), (Some("2024-02-29T00:00:00Z"), Some("2028-02-29T00:00:00Z")));
        assert!(rare["why"].as_str().unwrap().starts_with("rare is not expected at 2027-01-01T00:00:00Z"), "{rare}");
        let output = sexton(&file).args(["schedule", "why", "tock", "--at", "2027-01-01"]).output().unwrap();
        assert!(output.errors().contains("there is no schedule `tock`; did you mean `tick`?"), "{}", output.errors());
    }
}
