//! The command line, for people and programs.

use std::{path::Path, process::Output};

use serde_json::Value;
use sexton_entities::history;

use crate::support::{Database, Kind, Printed, block_on, on_each_database, sexton};

fn call(file: &Path, arguments: &[&str]) -> Output {
    sexton(file).args(arguments).output().unwrap()
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let output = call(file, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.json()
}

const SETTINGS: &str = "[task.greet]\ncommand = [\"sh\", \"-c\", \"echo hello; echo oops >&2\"]\nqueue = \"friendly\"\n\
                        [task.fail]\ncommand = [\"false\"]\n\
                        [task.tick]\nkind = \"noop\"\nschedule = { every = \"1h\" }";

on_each_database! {
    async fn a_task_goes_from_enqueue_to_log(database: Database) {
        let file = database.config("n", SETTINGS);
        assert!(call(&file, &["db", "migrate"]).status.success());
        let added = json(&file, &["task", "add", "greet", "--payload", "{\"name\": \"Ada\"}", "--unique", "k", "--priority", "-3"]);
        assert_eq!(added["new"], true);
        let id = added["id"].to_string();
        let again = call(&file, &["task", "add", "greet", "--unique", "k"]);
        assert_eq!(again.text(), format!("task {id} is already enqueued with this unique key\n"));
        let listed = json(&file, &["task", "list"]);
        let row = &listed[0];
        assert_eq!((row["name"].as_str(), row["queue"].as_str(), row["priority"].as_i64()), (Some("greet"), Some("friendly"), Some(-3)));
        assert_eq!((row["state"].as_str(), &row["payload"]["name"]), (Some("available"), &Value::from("Ada")));
        let long = "123456789012345678901234567890";
        let numbered = json(&file, &["task", "add", "greet", "--payload", long])["id"].to_string();
        for shown in [&["task", "list", "--json"][..], &["task", "show", &numbered, "--json"], &["task", "show", &numbered]] {
            let text = call(&file, shown).text();
            assert!(text.contains(long), "{shown:?}: {text}");
        }
        let large = format!("\"{}\"", "x".repeat(1 << 16));
        assert!(call(&database.config("small", &format!("max_payload = \"64KiB\"\n{SETTINGS}")), &["task", "add", "greet", "--payload", &large[..]])
            .errors().contains("the payload has 65538 bytes, and daemon.max_payload allows 65536"));
        assert!(call(&file, &["run", "--once"]).status.success());
        assert!(call(&file, &["task", "wait", &id]).status.success());
        let log = call(&file, &["task", "log", &id]);
        assert!(log.text().contains("hello") && log.text().contains("oops"), "{}", log.text());
        let shown = json(&file, &["task", "show", &id]);
        assert_eq!(shown["history"][0]["verdict"], "completed");
        let history = json(&file, &["history", "--name", "greet"]);
        let columns: Vec<&String> = history[0].as_object().unwrap().keys().collect();
        let mut expected: Vec<String> = <history::Column as sea_orm::Iterable>::iter()
            .map(|column| sea_orm::IdenStatic::as_str(&column).to_owned())
            .collect();
        expected.push("unusual".to_owned());
        expected.sort();
        assert_eq!(columns, expected.iter().collect::<Vec<_>>(), "field names are the column names");
        assert_eq!(json(&file, &["history", "--outcome", "failed", "--since", "1h"]), serde_json::json!([]));
    }

    async fn a_failed_task_is_told_and_can_be_tried_again(database: Database) {
        let file = database.config("n", SETTINGS);
        call(&file, &["db", "migrate"]);
        let id = json(&file, &["task", "add", "fail"])["id"].to_string();
        call(&file, &["run", "--once"]);
        let waited = call(&file, &["task", "wait", &id]);
        assert_eq!(waited.status.code(), Some(1));
        assert_eq!(waited.text(), format!("task {id} is discarded: exit code 1\n"));
        let retried = json(&file, &["task", "retry", &id]);
        assert_eq!(retried["new"], true);
        let new = retried["id"].to_string();
        let waited = call(&file, &["task", "wait", &new, "--timeout", "100ms"]);
        assert_eq!(waited.status.code(), Some(3), "nobody is there to do it");
        assert_eq!(json(&file, &["task", "cancel", &new])["result"], "cancelled");
        assert_eq!(call(&file, &["task", "cancel", &new]).status.code(), Some(1));
    }

    async fn schedules_and_queues_are_controlled(database: Database) {
        let file = database.config("n", SETTINGS);
        assert!(call(&file, &["run", "--once"]).status.success());
        let schedules = json(&file, &["schedule", "list"]);
        assert_eq!((schedules[0]["name"].as_str(), schedules[0]["spec"].as_str()), (Some("tick"), Some("every 1h")));
        assert_eq!(schedules[0]["last_outcome"], Value::Null, "nothing runs in retrospect");
        assert!(schedules[0]["next_at"].is_string());
        assert!(call(&file, &["schedule", "pause", "tick"]).status.success());
        let shown = json(&file, &["schedule", "show", "tick"]);
        assert_eq!((&shown["paused"], shown["description"].as_str()), (&Value::Bool(true), Some("Every 1h")));
        assert!(call(&file, &["schedule", "resume", "tick"]).status.success());
        assert!(json(&file, &["schedule", "run", "tick"])["id"].is_number());
        assert!(call(&file, &["queue", "pause", "default"]).status.success());
        let queues = json(&file, &["queue", "list"]);
        assert_eq!((queues[0]["name"].as_str(), queues[0]["paused"].as_bool(), queues[0]["available"].as_i64()),
            (Some("default"), Some(true), Some(1)));
        assert!(call(&file, &["run", "--once"]).status.success());
        assert_eq!(json(&file, &["queue", "list"])[0]["available"], 1, "a paused queue is left alone");
        call(&file, &["queue", "resume", "default"]);
        call(&file, &["run", "--once"]);
        assert_eq!(json(&file, &["history"])[0]["name"], "tick");
    }

    async fn the_summary_tells_what_recurs_waits_and_runs(database: Database) {
        let file = database.config("n", &format!("heartbeat = \"100ms\"\n{SETTINGS}"));
        let daemon = crate::support::Daemon::start(&file, &["run"]);
        call(&file, &["task", "add", "greet", "--in", "1h"]);
        let store = database.bare_store();
        crate::support::eventually("the schedule is entered, and the heartbeat tells of the modules", async || {
            let modules = store.nodes().await.unwrap().pop().and_then(|node| node.modules).unwrap_or_default();
            let has_worked = |module: &Value| module["name"] == "workers" && module["rounds"].as_u64() > Some(0);
            modules.as_array().is_some_and(|modules| modules.len() == sexton::domain::identity::ModuleName::BUILT_IN.len() && modules.iter().any(has_worked))
                && store.schedules().await.unwrap().len() == 1
        }).await;
        let summary = json(&file, &["summary"]);
        assert_eq!((&summary["schedules"][0]["name"], &summary["future"][0]["name"]), (&"tick".into(), &"greet".into()));
        let printed = call(&file, &["summary"]).text();
        let headers = ["Recurrent tasks:", "Tasks to be executed in future:", "Waiting tasks:", "Running tasks:", "Queues:", "Daemon modules:"];
        assert!(headers.iter().all(|header| printed.contains(header)), "{printed}");
        assert_eq!(json(&file, &["node", "list"])[0]["name"], "n");
        let modules = json(&file, &["module", "list"]);
        let names: Vec<&str> = modules.as_array().unwrap().iter().map(|module| module["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["adopter", "config_sync", "cron", "dispatcher", "future", "metrics", "node", "notifier", "observer", "paths", "pinger", "pruner", "recorder", "rescuer", "triggers", "wakeup", "worker_processes", "workers"]);
        assert!(call(&file, &["summary", "workers"]).text().starts_with("Module workers on n-"));
        assert!(call(&file, &["summary", "wokers"]).errors().contains("there is no module `wokers`"));
        daemon.stop();
    }
}

#[test]
fn mistakes_on_the_command_line_are_explained() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", SETTINGS);
        let errors = |arguments: &[&str]| {
            let output = call(&file, arguments);
            assert!(!output.status.success(), "{arguments:?}");
            output.errors()
        };
        std::fs::write(database.folder.path().join("sexton.db"), "").unwrap();
        assert!(errors(&["task", "list"]).contains("run `sexton db migrate`, or start the daemon"));
        assert!(call(&file, &["run", "--once"]).status.success());
        assert!(errors(&["task", "add", "gret"]).contains("task `gret` is not defined here; did you mean `greet`?"));
        assert!(
            errors(&["task", "add", "greet", "--payload", "{no json"]).contains("the payload is not JSON: {no json")
        );
        assert!(errors(&["task", "add", "greet", "--payload", "\"a\\u0000b\""]).contains("NUL"));
        assert!(errors(&["task", "add", "greet", "--at", "someday"]).contains("is not a time"));
        assert!(errors(&["task", "add", "greet", "--in", "5"]).contains("a number and a unit"));
        assert!(errors(&["task", "list", "--state", "done"]).contains("expected one of scheduled, available"));
        assert!(errors(&["task", "show", "99"]).contains("there is no task 99"));
        assert!(errors(&["schedule", "show", "tock"]).contains("did you mean `tick`?"));
        assert!(errors(&["schedule", "next", "tock"]).contains("did you mean `tick`?"));
        assert!(errors(&["schedule", "pause", "tock"]).contains("did you mean `tick`?"));
        assert!(errors(&["queue", "pause", "nowhere"]).contains("there is no queue `nowhere`"));
        let nowhere = call(Path::new("/no/such/file.toml"), &["task", "list"]);
        assert!(nowhere.errors().contains("/no/such/file.toml: cannot read the file"));
        assert_eq!(nowhere.status.code(), Some(78));
        assert!(call(&file, &["task", "add", "elsewhere", "--undefined"]).status.success());
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("sqlite://", "oracle://")).unwrap();
        assert!(errors(&["task", "list"]).contains("`oracle` is not a supported database"));
        assert!(errors(&["run"]).contains("`oracle` is not a supported database"));
    });
}

#[test]
fn any_expression_is_computed_without_a_configuration() {
    let broken = Path::new("/nowhere/sexton.toml");
    let of =
        |expression: &str, more: &[&str]| json(broken, &[&["schedule", "next", "--cron", expression], more].concat());
    let next = of("30 2 * * *", &["--timezone", "Europe/Berlin", "--from", "2026-10-24T12:00", "-n", "2"]);
    assert_eq!(
        next,
        serde_json::json!([
            { "at": "2026-10-25T02:30:00+02:00", "utc": "2026-10-25T00:30:00+00:00" },
            { "at": "2026-10-26T02:30:00+01:00", "utc": "2026-10-26T01:30:00+00:00" },
        ])
    );
    assert_eq!(
        of("CRON_TZ=Asia/Tokyo @yearly", &["-n", "1", "--from", "2026-11-21"])[0]["at"],
        "2027-01-01T00:00:00+09:00"
    );
    assert_eq!(of("0 0 0 1 1 ? 2020", &["--from", "2026-11-21"]), serde_json::json!([]));
    let failed = call(broken, &["schedule", "next", "--cron", "0 25 * * *"]);
    assert!(failed.errors().contains("--cron: hour (column 3): 25 is out of range"), "{}", failed.errors());
    let failed = call(broken, &["schedule", "next", "--cron", "@daily", "--timezone", "Europe/Berln"]);
    assert!(failed.errors().contains("did you mean `Europe/Berlin`?"), "{}", failed.errors());
    let told = call(broken, &["schedule", "describe", "--cron", "0 9 * * FRI#2", "--timezone", "Europe/Berlin"]).text();
    assert_eq!(told, "At 09:00 on the 2nd Friday of the month, Europe/Berlin\n");
}

#[test]
fn the_next_instants_need_no_database() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings =
            "[task.dst]\nkind = \"noop\"\nschedule = { cron = \"30 2 * * *\", timezone = \"Europe/Berlin\" }";
        let file = database.config("n", settings);
        let next = json(&file, &["schedule", "next", "dst", "-n", "2", "--from", "2026-03-28T12:00:00Z"]);
        assert_eq!(next[0]["at"], "2026-03-29T03:00:00+02:00");
        assert_eq!(next[1]["utc"], "2026-03-30T00:30:00+00:00");
        let shown = call(&file, &["schedule", "next", "dst", "-n", "2", "--from", "2026-03-28T12:00:00Z"]).text();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "Sun 2026-03-29 03:00:00 +02:00 CEST  (clocks go forward from 02:00 to 03:00)");
        assert_eq!(lines[1], "Mon 2026-03-30 02:30:00 +02:00 CEST");
        let there = json(
            &file,
            &["schedule", "next", "dst", "-n", "1", "--from", "2026-11-21T12:00:00Z", "--timezone", "Asia/Tokyo"],
        );
        assert_eq!(there[0]["at"], "2026-11-22T10:30:00+09:00");
        assert_eq!(call(&file, &["schedule", "describe", "dst"]).text(), "At 02:30 every day, Europe/Berlin\n");
        assert!(!database.folder.path().join("sexton.db").exists());
    });
}
