//! What the process supervisor does when its daemon fails, hangs or is killed, and what `status` reports meanwhile.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use super::Service;
use crate::support::{Database, Kind, block_on};

/// Sends the daemon that signal; checks that `status` is true at all times, and that the daemon is restarted.
fn comes_back_after(signal: Signal) {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "watchdog = \"2s\"");
        service.done(&["start"]);
        let first = service.daemon();
        service.kill(signal);
        let mut said = Vec::new();
        let back = service.wait("it is back", || {
            // The runtime ignores the first segmentation fault that another process sends.
            if signal == Signal::SIGSEGV {
                let _ = kill(Pid::from_raw(first), signal);
            }
            let (code, status) = service.status();
            said.push(status["state"].as_str().unwrap().to_owned());
            match (code, status["state"].as_str()) {
                (0, Some("starting")) => None,
                (0, _) => {
                    let pid = status["daemon"]["pid"].as_i64().unwrap() as i32;
                    assert!(signal == Signal::SIGSEGV || pid != first, "it says that the one runs that was killed");
                    (pid != first).then_some(pid)
                }
                (3 | 4, _) => None,
                other => panic!("{other:?}"),
            }
        });
        assert!(super::is_ours(back, &service.run_dir), "it says that one runs which is not there");
        let supervisor = service.status().1["supervisor"].clone();
        assert_eq!((&supervisor["failures"], &supervisor["state"]), (&json!(1), &json!("watching")));
        let fall = supervisor["last_failure"].as_str().unwrap().to_owned();
        let expected = if signal == Signal::SIGSTOP { Signal::SIGKILL } else { signal };
        assert!(fall.contains(expected.as_str()), "{fall}");
        assert!(service.log().contains("the daemon failed"), "{}", service.log());
        if signal == Signal::SIGSTOP {
            assert!(service.log().contains("was silent for 2s"), "{}", service.log());
        }
        service.done(&["stop"]);
    });
}

#[test]
fn it_is_restarted_after_a_kill() {
    comes_back_after(Signal::SIGKILL);
}

#[test]
fn it_is_restarted_after_a_segmentation_fault() {
    comes_back_after(Signal::SIGSEGV);
}

#[test]
fn it_is_restarted_after_a_hang() {
    comes_back_after(Signal::SIGSTOP);
}

#[test]
fn a_daemon_that_ended_cleanly_is_not_restarted() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        service.done(&["start"]);
        let supervisor = service.pid("supervisor").unwrap();
        service.kill(Signal::SIGTERM);
        service.wait("its process supervisor has ended as well", || {
            (!super::is_ours(supervisor, &service.run_dir)).then_some(())
        });
        assert_eq!(service.status().0, 3);
        assert!(service.log().contains("the daemon has ended (exit code 0)"), "{}", service.log());
    });
}

#[test]
fn a_stop_while_it_waits_for_a_restart_ends_it() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        service.done(&["start"]);
        let whole = std::fs::read_to_string(&service.file).unwrap();
        std::fs::write(&service.file, format!("{whole}\nworkers = \"many\"\n")).unwrap();
        service.kill(Signal::SIGKILL);
        let fall = service.wait("it falls with the new configuration", || {
            let supervisor = service.status().1["supervisor"].clone();
            supervisor["last_failure"].as_str().filter(|fall| fall.contains("exit code 78")).map(str::to_owned)
        });
        assert!(fall.contains("workers"), "the reason is recorded: {fall}");
        // Also with mistakes in the configuration.
        let told = service.done(&["stop"]);
        assert!(told.contains("has stopped"), "{told}");
        assert_eq!(service.status().0, 3);
    });
}

#[test]
fn without_its_process_supervisor_it_continues_and_can_be_stopped() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        service.done(&["start"]);
        kill(Pid::from_raw(service.pid("supervisor").unwrap()), Signal::SIGKILL).unwrap();
        service.wait("it is gone", || service.status().1["supervisor"].is_null().then_some(()));
        assert_eq!(service.status().0, 0);
        let shown = service.done(&["status"]);
        let says = "none: it has ended, and nothing restarts the daemon; `sexton start` starts a new one";
        assert!(shown.contains(says), "{shown}");
        // `start` mends it: the daemon continues, and is watched again.
        let pid = service.daemon();
        let told = service.done(&["start"]);
        let says = format!(
            "Sexton is already running: process {pid}; its process supervisor had ended, and a new one watches it\n"
        );
        assert_eq!(told, says);
        let supervisor = service.pid("supervisor").unwrap();
        assert!(super::is_ours(supervisor, &service.run_dir));
        assert_eq!(service.status().1["supervisor"]["state"], "watching");
        assert_eq!(service.done(&["start"]), format!("Sexton is already running: process {pid}\n"));
        service.kill(Signal::SIGKILL);
        let next = service.wait("another daemon runs", || {
            let status = service.status().1;
            status["daemon"]["pid"].as_i64().filter(|next| *next != i64::from(pid) && status["state"] == "running")
        });
        assert_eq!(i64::from(service.daemon()), next);
        let told = service.done(&["stop"]);
        assert!(told.starts_with(&format!("Sexton has stopped: process {next}")), "{told}");
        assert_eq!(service.status().0, 3);
        assert!(!super::is_ours(supervisor, &service.run_dir));
    });
}

#[test]
fn an_adopted_daemon_that_stops_ends_its_new_supervisor() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "watchdog = \"2s\"");
        service.done(&["start"]);
        kill(Pid::from_raw(service.pid("supervisor").unwrap()), Signal::SIGKILL).unwrap();
        service.wait("it is gone", || service.status().1["supervisor"].is_null().then_some(()));
        service.done(&["start"]);
        let (pid, supervisor) = (service.daemon(), service.pid("supervisor").unwrap());
        // Its signs of life arrive at the new one.
        let old = service.status().1["daemon"]["uptime_ms"].as_u64().unwrap();
        service.wait("it lives longer than its watchdog would let a silent one", || {
            (service.status().1["daemon"]["uptime_ms"].as_u64() >= Some(old + 4_000)).then_some(())
        });
        assert_eq!(service.daemon(), pid);
        service.kill(Signal::SIGTERM);
        service.wait("both have ended", || (!super::is_ours(supervisor, &service.run_dir)).then_some(()));
        assert_eq!(service.status().0, 3);
        assert!(!service.log().contains("the daemon failed"), "{}", service.log());
    });
}

#[test]
fn what_a_module_prints_is_logged() {
    assert!(
        nix::unistd::Uid::effective().is_root(),
        "this test needs root: the files of a daemon are hidden from others"
    );
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        service.done(&["start"]);
        // As `println!` of a module does.
        let mut stdout = std::fs::File::options().write(true).open(format!("/proc/{}/fd/1", service.daemon())).unwrap();
        std::io::Write::write_all(&mut stdout, b"a module says hello\nand more\n").unwrap();
        service.wait_for_log("INFO stdout: a module says hello");
        service.wait_for_log("INFO stdout: and more");
        drop(stdout);
        service.done(&["stop"]);
    });
}

#[test]
fn without_its_database_it_starts_answers_and_stops() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, "");
        let whole = std::fs::read_to_string(&service.file).unwrap();
        let away = whole.replace(&database.url, "postgres://nobody:s3cr3t@127.0.0.1:1/nothing");
        std::fs::write(&service.file, &away).unwrap();
        let told = service.done(&["start"]);
        assert!(told.contains("waiting for the database: "), "{told}");
        let (code, status) = service.status();
        assert_eq!((code, &status["daemon"]["phase"]), (0, &json!("waiting_for_database")));
        assert!(service.done(&["status"]).starts_with("Sexton is running without its database"));
        assert!(!status.to_string().contains("s3cr3t"), "{status:#}");
        // The way out: the right address.
        std::fs::write(&service.file, &whole).unwrap();
        service.done(&["reload"]);
        service.wait("it is up", || (service.status().1["daemon"]["phase"] == "running").then_some(()));
        service.done(&["stop"]);
        std::fs::write(&service.file, &away).unwrap();
        service.done(&["start"]);
        service.done(&["stop"]);
    });
}
