//! Who did what, as the operator sees it: audit, pauses and bulk commands on the command line.

use std::{path::Path, process::Output};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sexton::store::{HistoryFilter, TaskFilter};
use sexton_entities::states::Verdict;

use crate::support::{Daemon, Database, Kind, Printed, block_on, eventually, on_each_database, sexton};

const SETTINGS: &str = "[queue.mail]\nworkers = 1\n[task.send]\nkind = \"noop\"\nqueue = \"mail\"\n\
                        [task.fail]\ncommand = [\"sh\", \"-c\", \"echo no disk; exit 3\"]\n\
                        [task.tick]\nkind = \"noop\"\nschedule = { every = \"1h\" }";

/// Alice calls it by sudo.
fn call(file: &Path, arguments: &[&str]) -> Output {
    sexton(file).args(arguments).env("SUDO_USER", "alice").output().unwrap()
}

fn done(file: &Path, arguments: &[&str]) -> String {
    let output = call(file, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.text()
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let output = call(file, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", output.errors());
    output.json()
}

fn refused(file: &Path, arguments: &[&str]) -> String {
    let output = call(file, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", output.text());
    output.errors()
}

/// The login user that the audit has: by the kernel, or by sudo.
fn person() -> String {
    let by_kernel = sexton::principal::Principal::of_this_process(sexton_entities::states::Via::Cli).login;
    by_kernel.unwrap_or_else(|| "alice".to_owned())
}

fn host() -> String {
    nix::unistd::gethostname().unwrap().to_string_lossy().into_owned()
}

/// Action, target and name of each deed, the oldest first, without the migration.
fn told(file: &Path) -> Vec<String> {
    let deeds = json(file, &["audit", "list", "-n", "1000"]);
    let word = |deed: &Value, field: &str| deed[field].as_str().unwrap_or("-").to_owned();
    let mut told: Vec<String> = deeds
        .as_array()
        .unwrap()
        .iter()
        .filter(|deed| deed["action"] != "migrate")
        .map(|deed| ["action", "target", "name"].map(|field| word(deed, field)).join(" "))
        .collect();
    told.reverse();
    told
}

on_each_database! {
    async fn the_operator_sees_who_did_what(database: Database) {
        let file = database.config("n", SETTINGS);
        done(&file, &["run", "--once"]);
        let by = format!("{}@{}", person(), host());
        let paused = done(&file, &["queue", "pause", "mail", "--reason", "the mail server is away"]);
        let expected = format!(" by {by}: the mail server is away\n");
        assert!(paused.starts_with("queue mail is paused since ") && paused.ends_with(&expected), "{paused}");
        let queue = &json(&file, &["queue", "list"])[1];
        assert_eq!((&queue["name"], &queue["paused"], &queue["pause_reason"]), (&json!("mail"), &json!(true), &json!("the mail server is away")));
        assert_eq!((&queue["paused_by"], &queue["paused_host"]), (&json!(person()), &json!(host())));
        let id = json(&file, &["task", "add", "send", "--reason", "a test"])["id"].to_string();
        let waits = json(&file, &["task", "show", &id])["waits"].clone();
        assert!(waits.as_str().is_some_and(|waits| waits.starts_with("it waits: queue mail is paused since ")), "{waits}");
        done(&file, &["task", "cancel", &id, "--reason", "wrong month"]);
        let history = json(&file, &["history", "--name", "send"]);
        assert_eq!((&history[0]["cancelled_by"], &history[0]["cancelled_host"], &history[0]["cancel_reason"]),
            (&json!(person()), &json!(host()), &json!("wrong month")));
        let shown = done(&file, &["task", "show", &id]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("cancelled by"), "{shown}");
        done(&file, &["queue", "resume", "mail"]);
        done(&file, &["schedule", "pause", "tick", "--reason", "the fair"]);
        assert!(done(&file, &["schedule", "show", "tick"]).contains(&format!(" by {by}: the fair; next ")));
        done(&file, &["schedule", "run", "tick"]);
        done(&file, &["schedule", "resume", "tick"]);
        assert_eq!(told(&file), [
            "pause queue mail", "enqueue task send", "cancel task send", "resume queue mail", "pause schedule tick",
            "enqueue schedule tick", "resume schedule tick",
        ]);
        let deeds = json(&file, &["audit", "list", "--action", "cancel"]);
        let deed = &deeds[0];
        assert_eq!(deeds.as_array().unwrap().len(), 1);
        assert_eq!((&deed["via"], &deed["login"], &deed["host"]), (&json!("cli"), &json!(person()), &json!(host())));
        assert_eq!((deed["task_id"].to_string(), &deed["reason"]), (id.clone(), &json!("wrong month")));
        assert!(deed["account"].is_string() && deed["done_at"].is_string());
        assert_eq!((&deed["value_before"], &deed["value_after"]), (&json!({"state": "available"}), &json!({"state": "cancelled"})));
        assert_eq!(json(&file, &["audit", "list", "--task", &id, "--by", &person(), "--since", "1h"]).as_array().unwrap().len(), 2);
        assert!(done(&file, &["audit", "list", "--by", "nobody-else"]).contains("Nothing on record."));
        // The daemon has migrated by itself.
        let migrated = &json(&file, &["audit", "list", "--action", "migrate"])[0];
        assert_eq!(migrated["via"], "daemon");
        assert!(refused(&file, &["audit", "list", "--action", "cancle"]).contains("did you mean `cancel`?"));
    }

    async fn bulk_commands_count_what_they_do(database: Database) {
        let file = database.config("n", SETTINGS);
        let store = database.store().await;
        let client = sexton::Client::new(store.clone());
        let new = |name: &str, queue: &str| sexton::NewTask::new(name).queue(queue);
        client.enqueue_all(vec![new("send", "mail"); 1_001]).await.unwrap();
        client.enqueue_all(vec![new("fail", "default"); 3]).await.unwrap();
        let log = refused(&file, &["task", "log", "1"]);
        assert!(log.contains("task 1 has not begun, so that it has no output: it is available; "), "{log}");
        let left = async || store.tasks(&TaskFilter { limit: 9_999, ..TaskFilter::default() }).await.unwrap().len();
        assert_eq!(done(&file, &["task", "cancel", "--queue", "mail", "--dry-run"]), "1001 tasks would be cancelled: 1001 waiting, 0 running\n");
        assert_eq!(left().await, 1_004);
        assert_eq!(done(&file, &["task", "cancel", "--queue", "mail", "--reason", "spam"]), "1001 tasks cancelled\n");
        assert_eq!(left().await, 3);
        let listed = done(&file, &["audit", "list"]);
        assert!(listed.contains("1001 tasks (") && listed.contains(" and 996 more)"), "one command is one row: {listed}");
        assert_eq!(listed.lines().filter(|line| line.contains("spam")).count(), 1, "{listed}");
        assert_eq!(json(&file, &["audit", "list", "-n", "2000"]).as_array().unwrap().iter().filter(|deed| deed["action"] == "cancel").count(), 1_001);
        assert_eq!(json(&file, &["task", "cancel", "--queue", "mail"]), json!({"cancelled": 0, "requested": 0, "left": 0, "refused": 0}));
        // They are discarded, and retried once.
        assert_eq!(call(&file, &["run", "--once"]).status.code(), Some(1), "tasks failed");
        assert_eq!(done(&file, &["task", "retry", "--discarded", "--since", "1h", "--dry-run"]), "3 discarded tasks would be enqueued again\n");
        assert_eq!(done(&file, &["task", "retry", "--discarded", "--since", "1h"]), "3 discarded tasks enqueued again\n");
        assert_eq!(done(&file, &["task", "retry", "--discarded", "--since", "1h"]),
            "0 discarded tasks enqueued again; 3 left, because they were retried before\n");
        assert_eq!(left().await, 3);
        let waiting = store.tasks(&TaskFilter { limit: 9, ..TaskFilter::default() }).await.unwrap();
        assert!(waiting.iter().all(|task| task.name == "fail" && task.queue.as_deref() == Some("default")));
        assert_eq!(done(&file, &["task", "retry", "--name", "fail"]), "0 retryable tasks available now; left as they are: 3 available\n");
        let discarded = json(&file, &["history", "--verdict", "discarded", "--queue", "default", "--node", "n", "-n", "2", "--output"]);
        assert_eq!((discarded.as_array().unwrap().len(), &discarded[0]["output"]["stdout"]), (2, &json!("no disk\n")));
        let shown = done(&file, &["history", "--name", "fail", "--output", "-n", "1"]);
        assert!(shown.contains("fail, attempt 1: failed") && shown.contains("no disk"), "{shown}");
        assert_eq!(json(&file, &["history", "--schedule", "tick", "--verdict", "completed"]), json!([]));
    }

    async fn everything_is_paused_over_restarts(database: Database) {
        let settings = "heartbeat = \"100ms\"\n[task.send]\nkind = \"noop\"\n[task.often]\nkind = \"noop\"\nschedule = { every = \"1s\" }";
        let file = database.config("n", settings);
        let store = database.store().await;
        let paused = done(&file, &["pause", "--reason", "the move"]);
        assert!(paused.starts_with("everything is paused since ") && paused.contains(&format!(" by {}@{}: the move\n", person(), host())), "{paused}");
        let id = json(&file, &["task", "add", "send"])["id"].to_string();
        // There is nothing to do for it.
        done(&file, &["run", "--once"]);
        assert!(store.history(&HistoryFilter { limit: 9, ..HistoryFilter::default() }).await.unwrap().is_empty());
        let daemon = Daemon::start(&file, &["run"]);
        daemon.wait_for_log(": the move; nothing new begins until `sexton resume`");
        eventually("the status says so", async || {
            let status = json(&file, &["status"]);
            status["daemon"]["everything_paused"]["pause_reason"] == "the move"
        }).await;
        assert!(done(&file, &["status"]).contains("everything is paused since "));
        assert!(done(&file, &["queue", "list"]).contains("everything is paused"));
        let waits = json(&file, &["task", "show", &id])["waits"].clone();
        assert!(waits.as_str().is_some_and(|waits| waits.starts_with("it waits: everything is paused since ")), "{waits}");
        assert!(store.occurrences("often", 9).await.unwrap().is_empty(), "no schedule fires");
        assert_eq!(store.tasks(&TaskFilter { limit: 9, ..TaskFilter::default() }).await.unwrap().len(), 1);
        let resumed = done(&file, &["resume"]);
        assert!(resumed.starts_with("everything is resumed; it was paused since "), "{resumed}");
        done(&file, &["task", "wait", &id, "--timeout", "60s"]);
        eventually("the schedule fires again", async || !store.occurrences("often", 9).await.unwrap().is_empty()).await;
        daemon.stop();
        assert_eq!(done(&file, &["resume"]), "nothing was paused\n");
    }
}

#[test]
fn the_deeds_of_a_daemon_are_on_record() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = "heartbeat = \"100ms\"\nwatch_config = false\n[task.slow]\ncommand = [\"sleep\", \"600\"]";
        let file = database.config("n", settings);
        let mut daemon = Daemon::start(&file, &["run"]);
        let store = database.bare_store();
        eventually("the start is on record", async || told(&file) == ["start node n"]).await;
        done(&file, &["quiet", "--reason", "the disk is full"]);
        done(&file, &["quiet", "--off"]);
        done(&file, &["reload", "--reason", "a new queue"]);
        done(&file, &["module", "restart", "cron", "--reason", "to see"]);
        let by_hand = ["start node n", "quiet node n", "resume node n", "reload node n", "restart module cron"];
        eventually("they are on record", async || told(&file).len() == by_hand.len()).await;
        assert_eq!(told(&file), by_hand);
        let deeds = json(&file, &["audit", "list", "--via", "cli", "-n", "4"]);
        let reasons: Vec<&Value> = deeds.as_array().unwrap().iter().map(|deed| &deed["reason"]).collect();
        assert_eq!(reasons, [&json!("to see"), &json!("a new queue"), &Value::Null, &json!("the disk is full")]);
        let quiet = &deeds[3];
        assert_eq!(
            (&quiet["login"], &quiet["value_before"], &quiet["value_after"]),
            (&json!(person()), &json!({"quiet": false}), &json!({"quiet": true}))
        );
        let own = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
        assert_eq!(quiet["account"], json!(own), "as the kernel tells it");
        daemon.signal(Signal::SIGHUP);
        eventually("it is on record", async || told(&file).len() == by_hand.len() + 1).await;
        let by_signal = &json(&file, &["audit", "list", "--via", "signal"])[0];
        assert_eq!(
            (&by_signal["action"], &by_signal["account"]),
            (&json!("reload"), &Value::Null),
            "a signal does not tell"
        );
        // A running task that is cancelled: its node writes the history.
        let id = json(&file, &["task", "add", "slow"])["id"].to_string();
        eventually("it runs", async || {
            json(&file, &["task", "list", "--state", "running"]).as_array().unwrap().len() == 1
        })
        .await;
        assert_eq!(
            done(&file, &["task", "cancel", "--state", "running", "--reason", "too slow"]),
            "0 tasks cancelled; 1 running: their nodes will stop them\n"
        );
        eventually("it is cancelled", async || {
            let rows = store
                .history(&HistoryFilter { verdict: Some(Verdict::Cancelled), limit: 1, ..HistoryFilter::default() })
                .await
                .unwrap();
            !rows.is_empty()
        })
        .await;
        let row = &json(&file, &["task", "show", &id])["history"][0];
        assert_eq!((&row["cancelled_by"], &row["cancel_reason"]), (&json!(person()), &json!("too slow")));
        let last = || json(&file, &["audit", "list", "-n", "1"])[0].clone();
        done(&file, &["quiet"]);
        done(&file, &["stop", "--reason", "the move"]);
        daemon.wait();
        let stop = last();
        assert_eq!(
            (&stop["action"], &stop["name"], &stop["reason"]),
            (&json!("stop"), &json!("n"), &json!("the move"))
        );
        assert_eq!((&stop["via"], &stop["login"], &stop["account"]), (&json!("cli"), &json!(person()), &json!(own)));
        assert_eq!(stop["value_after"], json!({"stopped": "drained", "interrupted": 0, "left": 0}));
        // A signal does not tell who sends it. Quiet has ended with the process.
        let again = Daemon::start(&file, &["run"]);
        assert_eq!(json(&file, &["status"])["daemon"]["quiet"], json!(false));
        again.stop();
        let stop = last();
        assert_eq!((&stop["action"], &stop["via"], &stop["account"]), (&json!("stop"), &json!("signal"), &Value::Null));
    });
}

#[test]
fn mistakes_in_filters_are_explained() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", SETTINGS);
        done(&file, &["run", "--once"]);
        let errors = |arguments: &[&str]| refused(&file, arguments);
        assert!(errors(&["history", "--verdict", "discard"]).contains("did you mean `discarded`?"));
        assert!(errors(&["history", "--outcome", "suceeded"]).contains("did you mean `succeeded`?"));
        assert!(errors(&["history", "--queue", "mial"]).contains("there is no queue `mial`; did you mean `mail`?"));
        assert!(
            errors(&["history", "--name", "sned"]).contains("there is no task definition `sned`; did you mean `send`?")
        );
        assert!(
            errors(&["history", "--schedule", "tikc", "--verdict", "completed"])
                .contains("there is no schedule `tikc`; did you mean `tick`?")
        );
        assert!(errors(&["history", "--node", "elsewhere"]).contains("there is no node `elsewhere`"));
        assert!(errors(&["task", "cancel", "--queue", "mial"]).contains("did you mean `mail`?"));
        assert!(errors(&["task", "retry", "--discarded", "--name", "fial"]).contains("did you mean `fail`?"));
        assert!(errors(&["task", "cancel", "--state", "runing"]).contains("did you mean `running`?"));
        assert!(errors(&["task", "cancel", "--state", "available", "--since", "lately"]).contains("--since"));
        assert!(errors(&["task", "retry", "--state", "running"]).contains("such a task needs no retry"));
        assert!(errors(&["queue", "pause", "mial"]).contains("did you mean `mail`?"));
        // All tasks are never meant by accident, and ids and filters exclude each other.
        for arguments in
            [&["task", "cancel"][..], &["task", "retry", "--dry-run"], &["task", "cancel", "1", "--queue", "mail"]]
        {
            assert_eq!(call(&file, arguments).status.code(), Some(2), "{arguments:?}");
        }
        // What is known and selects nothing is no mistake.
        assert_eq!(json(&file, &["history", "--queue", "mail", "--name", "send"]), json!([]));
    });
}
