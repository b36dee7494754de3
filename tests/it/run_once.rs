//! `run --once` and `--help`: what scripts and readers rely on.

use std::path::Path;

use crate::support::{Database, Kind, Printed, block_on, sexton};

fn once(file: &Path) -> (Option<i32>, String) {
    let output = sexton(file).args(["run", "--once"]).output().unwrap();
    (output.status.code(), output.errors())
}

#[test]
fn it_fails_if_a_task_failed() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let marker = database.folder.path().join("marker");
        let script = format!("[ -e {0} ] || {{ touch {0}; exit 1; }}", marker.display());
        let settings = format!(
            "[task.good]\ncommand = [\"true\"]\n[task.bad]\ncommand = [\"false\"]\n\
             [task.later]\ncommand = [\"false\"]\nmax_attempts = 2\nretry = {{ delay = \"1h\" }}\n\
             [task.second]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nmax_attempts = 2\nretry = {{ delay = \"0s\", jitter = 0 }}\n"
        );
        let file = database.config("n", &settings);
        assert_eq!(once(&file).0, Some(0), "nothing to do");
        for (tasks, code) in [
            (&["good"][..], 0),
            (&["bad"], 1),
            (&["good", "later"], 1),
            (&["second", "good"], 0),
            (&["good", "bad", "bad"], 1),
            (&["good"], 0),
        ] {
            for task in tasks {
                assert!(sexton(&file).args(["task", "add", task]).output().unwrap().status.success());
            }
            let (found, log) = once(&file);
            assert_eq!(found, Some(code), "{tasks:?}: {log}");
            let failed = match tasks.iter().filter(|task| **task == "bad" || **task == "later").count() {
                0 => None,
                1 => Some("1 task failed: the exit code is 1"),
                _ => Some("2 tasks failed: the exit code is 1"),
            };
            assert!(failed.is_none_or(|text| log.contains(text)), "{tasks:?}: {log}");
        }
    });
}

#[test]
fn a_node_with_an_odd_name_runs_commands() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", "[task.good]\ncommand = [\"true\"]");
        for name in ["site/a:1", "../up", ".hidden", "Wörk"] {
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = text.lines().map(|line| match line.starts_with("name = ") {
                true => format!("name = \"{name}\""),
                false => line.to_owned(),
            });
            std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
            sexton(&file).args(["db", "migrate"]).output().unwrap();
            assert!(sexton(&file).args(["task", "add", "good"]).output().unwrap().status.success());
            let (code, log) = once(&file);
            assert!(code == Some(0) && log.contains("good succeeded"), "{name}: {log}");
        }
    });
}

#[test]
fn options_of_every_command_are_apart_in_the_help() {
    let help = |arguments: &[&str]| sexton(Path::new("x")).args(arguments).output().unwrap().text();
    for arguments in [&["stop", "--help"][..], &["task", "add", "--help"], &["--help"]] {
        let text = help(arguments);
        let (own, common) = text.split_once("Options of every command:").unwrap_or_else(|| panic!("{text}"));
        for option in ["--config", "--json", "--log"] {
            assert!(!own.contains(&format!("  {option} ")) && common.contains(option), "{arguments:?}: {text}");
        }
    }
    assert!(help(&["stop", "--help"]).contains("daemon.force_timeout (5 s, unless set)"));
}
