//! The commands show a row that is no good with its mistake, the log has it once, and it stops no other.

use serde_json::Value;

use super::{SETTINGS, call, execute, fires, listed};
use crate::support::{Printed as _, eventually, on_each_database, sexton};

/// Of each row, its name, its columns after the task, and a part of what is said.
const ROWS: [(&str, &str, &str); 13] = [
    ("cron", "'report', '61 * * * *', NULL, NULL, NULL", "cron: "),
    ("zone", "'report', '* * * * *', 'Europe/Atlantis', NULL, NULL", "timezone: "),
    (
        "task",
        "'repot', '* * * * *', NULL, NULL, NULL",
        "task: there is no task definition `repot`; did you mean `report`?",
    ),
    ("payload", "'report', '* * * * *', NULL, '{\"a\"', NULL", "payload: it is not JSON"),
    ("settings", "'report', '* * * * *', NULL, NULL, '[]'", "settings: expected a JSON object"),
    ("queue", "'report', '* * * * *', NULL, NULL, '{\"queue\": \"slwo\"}'", "queue: there is no queue `slwo`"),
    ("none", "'report', NULL, NULL, NULL, NULL", "expected one of `cron`, `every`"),
    ("both", "'report', '* * * * *', NULL, NULL, '{\"every\": \"1h\"}'", "expected one of `cron`, `every`"),
    (
        "odd",
        "'report', '* * * * *', NULL, NULL, '{\"mised\": \"last\"}'",
        "mised: there is no such setting; did you mean `missed`?",
    ),
    ("column", "'report', NULL, NULL, NULL, '{\"cron\": \"* * * * *\"}'", "`cron` has a column of its own"),
    (
        "left",
        "'report', NULL, NULL, NULL, '{\"after\": [\"right\"]}'",
        "after: the schedule would run after itself: left after right after left",
    ),
    (
        "right",
        "'report', NULL, NULL, NULL, '{\"after\": [\"left\", \"good\"]}'",
        "after: the schedule would run after itself: right after left after right",
    ),
    (
        "self",
        "'report', NULL, NULL, NULL, '{\"after\": [\"self\"]}'",
        "after: the schedule would run after itself: self after self",
    ),
];

on_each_database! {
    async fn each_mistake_is_shown_and_told_once(database: Database) {
        let store = database.store().await;
        let daemon = database.daemon("n", SETTINGS);
        let file = database.folder.path().join("n/sexton.toml");
        for (name, columns, _) in ROWS {
            execute(&store, &format!("INSERT INTO sexton_schedule (name, task, cron, timezone, payload, settings) \
                                      VALUES ('{name}', {columns})")).await;
        }
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) VALUES ('good', 'report', '{\"every\": \"200ms\"}')").await;
        fires(&store, "good", 3).await;
        for (name, _, said) in ROWS {
            let why = listed(&file, name)["unused"].as_str().unwrap_or_default().to_owned();
            assert!(why.contains(said), "{name}: «{said}» is not in «{why}»");
            daemon.wait_for_log(&format!("schedule {name} of the database is not in force"));
        }
        assert_eq!(listed(&file, "good")["unused"], Value::Null);
        let list = call(&file, &["schedule", "list"]).text();
        assert!(list.contains("not in force: cron: "), "{list}");
        let shown = call(&file, &["schedule", "show", "zone"]).text();
        assert!(shown.contains("Europe/Atlantis"), "{shown}");
        let problems = async || call(&file, &["problem", "list", "--json"]).json();
        eventually("there is a problem", async || problems().await.to_string().contains("schedule zone")).await;
        execute(&store, "UPDATE sexton_schedule SET cron = NULL, timezone = NULL, settings = '{\"every\": \"200ms\"}' \
                         WHERE name IN ('zone', 'cron')").await;
        fires(&store, "zone", 1).await;
        eventually("the problem is over", async || !problems().await.to_string().contains("schedule zone")).await;
        assert!(call(&file, &["schedule", "add", "next", "--task", "report", "--set", "after=[\"good\"]"]).status.success());
        let arguments = ["schedule", "edit", "good", "--unset", "every", "--set", "after=[\"next\"]"];
        let circle = sexton(&file).args(arguments).output().unwrap();
        let said = "schedule good: after: the schedule would run after itself: good after next after good";
        assert!(!circle.status.success() && circle.errors().contains(said), "{}", circle.errors());
        let log = daemon.stop();
        for (name, ..) in ROWS {
            let told = format!("schedule {name} of the database is not in force");
            let lines = log.lines().filter(|line| line.contains(&told) && line.contains("ERROR"));
            assert_eq!(lines.count(), 1, "the log has {name} once:\n{log}");
        }
    }

    async fn a_task_of_another_node_is_no_mistake(database: Database) {
        let store = database.store().await;
        let first = database.daemon("a", SETTINGS);
        let settings = format!("{SETTINGS}[task.only]\nkind = \"noop\"\n");
        let second = database.daemon("b", &settings);
        execute(&store, "INSERT INTO sexton_schedule (name, task, settings) VALUES ('s', 'only', '{\"every\": \"300ms\"}')").await;
        fires(&store, "s", 3).await;
        assert!(!first.stop().contains("not in force"));
        second.stop();
    }
}
