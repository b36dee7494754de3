//! New configurations: reloaded on request, or because the files have changed.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::Service;
use crate::support::{Database, Kind, Printed, block_on};

const TASK: &str = "[task.one]\nkind = \"noop\"\n";

#[test]
fn reload_reports_changes_and_a_mistake_keeps_the_old_configuration() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, &format!("watch_config = false\n{TASK}"));
        assert!(service.call(&["reload"]).errors().contains("Sexton is not running"));
        service.done(&["start"]);
        let whole = std::fs::read_to_string(&service.file).unwrap();
        std::fs::write(&service.file, format!("{whole}\n[task.two]\nkind = \"noop\"\n")).unwrap();
        assert_eq!(service.done(&["reload"]), "The configuration was reloaded: tasks added: two\n");
        assert_eq!(service.call(&["reload", "--json"]).json()["changed"], "no task, schedule, queue or module changed");
        std::fs::write(&service.file, format!("{whole}\n[task.two]\nkind = \"nop\"\n")).unwrap();
        let output = service.call(&["reload"]);
        assert_eq!(output.status.code(), Some(78));
        assert!(output.errors().contains("there is no handler of kind `nop`"), "{}", output.errors());
        service.kill(Signal::SIGHUP);
        let mistakes = service.wait("status tells of the mistakes", || {
            service.status().1["daemon"]["config"]["mistakes"].as_str().map(str::to_owned)
        });
        assert!(mistakes.contains("there is no handler of kind `nop`"), "{mistakes}");
        assert!(service.done(&["status"]).contains("is not in force"));
        std::fs::write(&service.file, &whole).unwrap();
        assert_eq!(service.done(&["reload"]), "The configuration was reloaded: tasks removed: two\n");
        assert_eq!(service.status().1["daemon"]["config"]["mistakes"], Value::Null);
        service.done(&["stop"]);
    });
}

#[test]
fn changed_files_are_reloaded_and_a_mistake_is_reported_once() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, &format!("reload_debounce = \"100ms\"\n{TASK}"));
        let more = service.file.with_file_name("conf.d");
        std::fs::create_dir(&more).unwrap();
        service.done(&["start"]);
        service.wait("it has looked at the files", || {
            let modules = service.call(&["module", "list", "--json"]).json();
            let seen = modules
                .as_array()?
                .iter()
                .any(|module| module["name"] == "config_sync" && module["rounds"] != json!(0));
            seen.then_some(())
        });
        std::fs::write(more.join("two.toml"), "[task.two]\nkind = \"noop\"\n").unwrap();
        service.wait_for_log("the configuration is reloaded: tasks added: two");
        // Editors replace the file under its name.
        let new = more.join(".two.new");
        std::fs::write(&new, "[task.two]\nkind = \"nop\"\n").unwrap();
        std::fs::rename(&new, more.join("two.toml")).unwrap();
        service.wait_for_log("the old one stays in force");
        assert!(service.status().1["daemon"]["config"]["mistakes"].is_string());
        // Changed, but still with the same mistake: it is not reported again.
        std::fs::write(more.join("two.toml"), "[task.two]\nkind = \"nop\" \n").unwrap();
        std::fs::write(more.join("three.toml"), "[task.three]\nkind = \"noop\"\n").unwrap();
        std::fs::write(&new, "[task.two]\nkind = \"noop\"\n").unwrap();
        std::fs::rename(&new, more.join("two.toml")).unwrap();
        service.wait_for_log("the configuration is reloaded: tasks added: three");
        assert_eq!(service.log().matches("the configuration is not reloaded").count(), 1, "{}", service.log());
        assert_eq!(service.status().1["daemon"]["config"]["mistakes"], Value::Null);
        service.done(&["stop"]);
    });
}

#[test]
fn requests_while_the_daemon_waits_for_its_database_are_not_lost() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, &format!("watch_config = false\n{TASK}"));
        let whole = std::fs::read_to_string(&service.file).unwrap();
        let with = |url: &str| std::fs::write(&service.file, whole.replace(&database.url, url)).unwrap();
        with("postgres://nobody@127.0.0.1:1/nothing");
        service.done(&["start"]);
        service.done(&["quiet"]);
        with("postgres://nobody@127.0.0.1:port/nothing");
        assert!(!service.call(&["reload"]).status.success(), "a malformed address is a mistake");
        assert_eq!(service.status().1["daemon"]["phase"], "waiting_for_database", "and ends nothing");
        with(&database.url);
        service.done(&["reload"]);
        service.wait("it is up", || (service.status().1["daemon"]["phase"] == "running").then_some(()));
        assert_eq!(service.status().1["daemon"]["quiet"], true);
        std::fs::write(&service.file, whole.replace("[daemon]\n", "[supervisor]\nhang_timeout = \"5m\"\n[daemon]\n"))
            .unwrap();
        for _ in 0..2 {
            let told = service.done(&["reload"]);
            assert!(told.contains("take effect at the next start: [supervisor]"), "as long as it is so: {told}");
        }
        assert_eq!(service.status().1["daemon"]["config"]["needs_restart"], json!(["[supervisor]"]));
        service.done(&["stop"]);
    });
}

#[test]
fn files_that_are_still_being_written_are_left_alone() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let service = Service::new(&database, &format!("reload_debounce = \"1h\"\n{TASK}"));
        let more = service.file.with_file_name("conf.d");
        std::fs::create_dir(&more).unwrap();
        service.done(&["start"]);
        let rounds = || {
            let modules = service.call(&["module", "list", "--json"]).json();
            modules.as_array()?.iter().find(|module| module["name"] == "config_sync")?["rounds"].as_u64()
        };
        let before = service.wait("it has looked", || rounds().filter(|rounds| *rounds > 0));
        for number in 0..3 {
            std::fs::write(more.join(format!("{number}.toml")), format!("[task.more-{number}]\nkind = \"noop\"\n"))
                .unwrap();
            service.wait("it has seen that", || rounds().filter(|rounds| *rounds > before + number));
        }
        assert!(!service.log().contains("is reloaded"), "{}", service.log());
        service.done(&["stop"]);
    });
}
