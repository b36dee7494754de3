//! `start`, `stop`, `restart`, `status`: once, twice, and concurrently.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use sexton::{Client, NewTask, store::TaskFilter};
use sexton_entities::states::TaskState;

use super::Service;
use crate::support::{Database, Kind, PATIENCE, Printed, block_on, eventually, sexton};

const STUBBORN: &str =
    "[task.stubborn]\ncommand = [\"sh\", \"-c\", \"trap '' TERM; sleep 60\"]\nkill_after = \"200ms\"";

#[test]
fn start_leaves_a_ready_daemon_and_stop_leaves_nothing() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let (code, status) = service.status();
        assert_eq!((code, &status["state"], &status["daemon"]), (3, &json!("not_running"), &Value::Null));
        let told = service.done(&["start"]);
        let pid = service.daemon();
        assert!(told.starts_with(&format!("Sexton has started: process {pid}; running 0 tasks")), "{told}");
        let (code, status) = service.status();
        assert_eq!((code, &status["state"], &status["daemon"]["pid"]), (0, &json!("running"), &json!(pid)));
        assert_eq!(status["daemon"]["database"], json!(database.url));
        let titles: Vec<&str> =
            status["processes"].as_array().unwrap().iter().map(|process| process["title"].as_str().unwrap()).collect();
        assert_eq!(titles[0], "sexton: supervisor");
        assert!(titles[1].starts_with("sexton: daemon --config "), "{titles:?}");
        assert_eq!(status["processes"][1]["parent"], status["supervisor"]["pid"]);
        for text in ["Sexton is running: process", "sexton: supervisor", "configuration"] {
            assert!(service.done(&["status"]).contains(text), "{text}");
        }
        assert_eq!(service.done(&["start"]), format!("Sexton is already running: process {pid}\n"));
        assert_eq!(service.daemon(), pid);
        let told = service.done(&["stop"]);
        assert!(told.starts_with(&format!("Sexton has stopped: process {pid}, within ")), "{told}");
        assert_eq!(told.lines().count(), 1, "nothing had to be ended: {told}");
        assert_eq!(service.status().0, 3);
        for process in [pid, status["supervisor"]["pid"].as_i64().unwrap() as i32] {
            assert!(!super::is_ours(process, &service.run_dir), "process {process} is still there");
        }
        let told = service.done(&["stop"]);
        assert_eq!(
            told,
            format!("Sexton is not running (no process holds {}/daemon.lock)\n", service.run_dir.display())
        );
    });
}

#[test]
fn a_start_that_fails_explains_why_and_leaves_nothing() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "workers = 0");
        let output = service.call(&["start"]);
        assert_eq!(output.status.code(), Some(78));
        assert!(output.errors().contains("daemon.workers: 0 is out of range"), "{}", output.errors());
        let service = Service::new(&database, "");
        let store = database.store().await;
        let sql = "INSERT INTO sexton_migration (version, applied_at) VALUES ('m20991231_000001_wonders', 0)";
        sea_orm::ConnectionTrait::execute_unprepared(store.connection(), sql).await.unwrap();
        let output = service.call(&["start"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.errors().contains("was migrated by a newer Sexton"), "{}", output.errors());
        assert_eq!(service.status().0, 3, "nothing is left");
    });
}

#[test]
fn restart_replaces_the_daemon() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        service.done(&["restart"]);
        let first = service.daemon();
        let told = service.done(&["restart"]);
        assert_ne!(service.daemon(), first);
        assert!(told.contains("has stopped") && told.contains("has started"), "{told}");
        service.done(&["stop"]);
        // A daemon that another program supervises is left to it.
        let daemon = crate::support::Daemon::start(&service.file, &["run"]);
        let output = service.call(&["restart"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.errors().contains("was not started by `sexton start`"), "{}", output.errors());
        assert!(service.done(&["start"]).contains("already running"));
        assert_eq!(service.status().1["supervisor"], Value::Null);
        service.done(&["stop"]);
        drop(daemon);
    });
}

#[test]
fn stop_reports_interrupted_tasks() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service =
            Service::new(&database, &format!("stop_timeout = \"300ms\"\nforce_timeout = \"100ms\"\n{STUBBORN}"));
        for (arguments, is_json) in [(vec!["stop", "--json"], true), (vec!["stop", "--force"], false)] {
            service.done(&["start"]);
            let client = Client::new(database.bare_store());
            client.enqueue(NewTask::new("stubborn").unique_key("one")).await.unwrap();
            let store = database.bare_store();
            eventually("it runs", async || {
                let tasks = store.tasks(&TaskFilter { limit: 9, ..TaskFilter::default() }).await.unwrap();
                tasks.iter().any(|task| task.state == TaskState::Running)
            })
            .await;
            let shown = service.wait("the status shows it", || {
                let status = service.status().1;
                let tree = status["processes"].to_string();
                (status["daemon"]["running"] == 1 && tree.contains("sleep 60")).then_some(status)
            });
            assert_eq!(shown["daemon"]["tasks"][0]["name"], "stubborn");
            assert!(shown["processes"].to_string().contains("sexton: [default] stubborn"), "{shown:#}");
            let output = service.call(&arguments);
            assert!(output.status.success(), "{}", output.errors());
            if is_json {
                let told = output.json();
                assert_eq!(told["interrupted"][0]["name"], "stubborn");
                assert_eq!((&told["killed"], &told["left"]), (&json!([]), &json!(0)));
            } else {
                let told = output.text();
                assert!(told.contains("1 task interrupted and released: stubborn"), "{told}");
                assert!(told.contains("; running tasks had 100ms to end"), "{told}");
            }
        }
    });
}

#[test]
fn stop_kills_a_daemon_that_hangs_and_reports_it() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "force_timeout = \"100ms\"\nwatchdog = \"1h\"");
        service.done(&["start"]);
        let pid = service.daemon();
        service.kill(Signal::SIGSTOP);
        let (code, status) = service.status();
        assert_eq!((code, &status["state"]), (4, &json!("not_answering")));
        let told = service.done(&["stop", "--force"]);
        assert!(told.contains(&format!("process {pid} did not stop in time, and was killed")), "{told}");
        assert_eq!(service.status().0, 3);
    });
}

/// Starts all of them at the same time; returns their outputs, in the same order.
fn at_once(service: &Service, calls: &[&str]) -> Vec<(String, std::process::Output)> {
    let spawn = |call: &&str| {
        let mut command: Command = sexton(&service.file);
        command.arg(call).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ((*call).to_owned(), command.spawn().unwrap())
    };
    let children: Vec<_> = calls.iter().map(spawn).collect();
    children.into_iter().map(|(call, child)| (call, child.wait_with_output().unwrap())).collect()
}

#[test]
fn of_ten_concurrent_starts_one_wins_and_ten_stops_leave_nothing() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let mut started = 0;
        for (_, output) in at_once(&service, &["start"; 10]) {
            assert!(output.status.success(), "{}{}", output.text(), output.errors());
            started += usize::from(output.text().starts_with("Sexton has started"));
        }
        assert_eq!(started, 1, "the others find it running");
        assert_eq!(service.status().0, 0);
        for (_, output) in at_once(&service, &["stop"; 10]) {
            assert!(output.status.success(), "{}{}", output.text(), output.errors());
        }
        assert_eq!(service.status().0, 3);
    });
}

#[test]
fn concurrent_starts_and_stops_never_get_stuck() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        for _ in 0..5 {
            let calls = ["start", "stop", "start", "stop", "start", "stop", "start", "stop", "start", "stop"];
            for (call, output) in at_once(&service, &calls) {
                let was_stopped = call == "start" && output.errors().contains("it was stopped while it was starting");
                assert!(output.status.success() || was_stopped, "{call}: {}{}", output.text(), output.errors());
            }
            // Whichever came last: the output is true, and the next start and stop work.
            let (code, status) = service.status();
            assert!(
                matches!((code, status["state"].as_str()), (0, Some("running")) | (3, Some("not_running"))),
                "{status:#}"
            );
            service.done(&["start"]);
            assert_eq!(service.status().0, 0);
            service.done(&["stop"]);
            assert_eq!(service.status().0, 3);
        }
    });
}

#[test]
fn a_stop_in_the_first_moment_of_a_process_supervisor_gets_its_answer() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let mut last = 0;
        for _ in 0..30 {
            let mut command: Command = sexton(&service.file);
            let start = command.arg("start").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            // Without a pause: the moment after it has acquired its lock is short.
            let deadline = Instant::now() + PATIENCE;
            let pid = loop {
                match service.pid("supervisor").filter(|pid| *pid != last) {
                    Some(pid) => break pid,
                    None => assert!(Instant::now() < deadline, "no process supervisor"),
                }
            };
            last = pid;
            kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
            let output = start.wait_with_output().unwrap();
            assert!(output.errors().contains("it was stopped while it was starting"), "{}", output.errors());
        }
        assert_eq!(service.status().0, 3);
    });
}
