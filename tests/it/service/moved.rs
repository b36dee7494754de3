//! A setting that moves the run directory while the daemon runs: it is found by what it was started with.

use std::{fs, process::Output};

use nix::sys::signal::Signal;
use serde_json::json;

use super::Service;
use crate::support::{Database, Kind, Printed, block_on, sexton};

/// Moves the state directory, and the run directory with it, as `to` says it.
fn move_to(service: &Service, to: &str) {
    let text = fs::read_to_string(&service.file).unwrap();
    let lines = text.lines().map(|line| if line.starts_with("state_dir = ") { to } else { line });
    fs::write(&service.file, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

#[test]
fn a_moved_daemon_is_found_and_stopped() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "watch_config = false\n[task.nap]\ncommand = [\"sleep\", \"60\"]");
        service.done(&["start"]);
        let pid = service.daemon();
        let new = service.file.with_file_name("new");
        move_to(&service, &format!("state_dir = \"{}\"", new.display()));
        let told = format!(
            "sexton: the running daemon was started with run directory {}; the configuration now says {}, which takes \
             effect at its next start\n",
            service.run_dir.display(),
            new.join("run").display()
        );
        let is_told = |output: &Output| {
            assert!(output.status.success(), "{}{}", output.text(), output.errors());
            assert!(output.errors().contains(&told), "{}", output.errors());
        };
        service.done(&["task", "add", "nap"]);
        let shown = service.wait("the status shows the task", || {
            let status = service.status().1;
            status["processes"].to_string().contains("sleep 60").then_some(status)
        });
        assert_eq!((&shown["state"], &shown["daemon"]["pid"]), (&json!("running"), &json!(pid)));
        for command in ["status", "quiet", "resume", "reload", "debug"] {
            is_told(&service.call(&[command]));
        }
        let started = service.call(&["start"]);
        is_told(&started);
        assert_eq!(started.text(), format!("Sexton is already running: process {pid}\n"));
        let stopped = service.call(&["stop", "--force"]);
        is_told(&stopped);
        assert!(stopped.text().starts_with(&format!("Sexton has stopped: process {pid}")), "{}", stopped.text());
        assert!(!super::is_ours(pid, &service.run_dir));
        let status = service.call(&["status"]);
        assert_eq!((status.status.code(), status.errors()), (Some(3), String::new()));
        assert!(status.text().contains(&new.display().to_string()), "{}", status.text());
    });
}

#[test]
fn a_restart_moves_it() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut service = Service::new(&database, "");
        service.done(&["start"]);
        let (old, pid) = (service.run_dir.clone(), service.daemon());
        move_to(&service, &format!("state_dir = \"{}\"", service.file.with_file_name("new").display()));
        let told = service.done(&["restart"]);
        assert!(told.contains(&format!("Sexton has stopped: process {pid}")), "{told}");
        assert!(!super::is_ours(pid, &old));
        service.run_dir = service.file.with_file_name("new").join("run");
        assert_eq!(service.status().1["daemon"]["pid"], service.daemon());
        assert_eq!(service.call(&["status"]).errors(), "", "it is where the configuration says");
        service.done(&["stop"]);
    });
}

#[test]
fn it_is_found_while_it_hangs_and_despite_mistakes() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "watchdog = \"1h\"\nforce_timeout = \"100ms\"");
        service.done(&["start"]);
        let pid = service.daemon();
        move_to(&service, "state_dir = 7");
        let status = service.call(&["status"]);
        assert_eq!(status.status.code(), Some(0), "{}{}", status.text(), status.errors());
        assert!(status.errors().contains("the configuration has mistakes; the running daemon was found in"));
        move_to(&service, "nonsense");
        assert_eq!(service.status().1["daemon"]["pid"], json!(pid));
        service.kill(Signal::SIGSTOP);
        assert_eq!(service.status().1["state"], "not_answering");
        let stopped = service.done(&["stop", "--force"]);
        assert!(stopped.contains(&format!("process {pid} did not stop in time, and was killed")), "{stopped}");
    });
}

#[test]
fn another_daemon_with_the_same_file_is_left_alone() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let other = |arguments: &[&str]| {
            let state = service.file.with_file_name("other");
            sexton(&service.file).args(arguments).env("SEXTON__DAEMON__STATE_DIR", state).output().unwrap()
        };
        service.done(&["start"]);
        assert_eq!(other(&["status"]).status.code(), Some(3));
        let stopped = other(&["stop"]);
        assert!(stopped.text().contains("Sexton is not running"), "{}", stopped.text());
        assert_eq!(service.status().0, 0);
        service.done(&["stop"]);
    });
}
