//! Commands for people work although the configuration has a mistake, and looking creates nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::support::{Database, Kind, Printed, block_on, sexton};

fn call(file: &Path, line: &str) -> Output {
    sexton(file).args(line.split(' ')).output().unwrap()
}

const SETTINGS: &str =
    "[task.good]\nkind = \"noop\"\nqueue = \"q\"\npriority = 7\nschedule = \"@daily\"\n[queue.q]\nworkers = 1\n";
/// The commands that need the database only.
const LOOKING: [&str; 13] = [
    "summary",
    "history",
    "task list",
    "task show 1",
    "task cancel 1",
    "schedule list",
    "schedule show good",
    "schedule pause good",
    "queue list",
    "queue pause q",
    "node list",
    "module list",
    "db status",
];

/// A configuration with its tables and one task, and an appended mistake.
fn mistaken(database: &Database, mistake: &str) -> PathBuf {
    let file = database.config("n", SETTINGS);
    assert!(call(&file, "run --once").status.success());
    let text = fs::read_to_string(&file).unwrap();
    assert!(call(&file, "task add good --in 1h").status.success());
    fs::write(&file, format!("{text}{mistake}\n")).unwrap();
    file
}

fn work(file: &Path, count: &str) {
    for line in LOOKING {
        let output = call(file, line);
        assert!(output.status.success(), "{line}: {}{}", output.text(), output.errors());
        let told =
            format!("sexton: the configuration has {count} (`sexton config check` shows it); going on with sqlite:");
        assert!(output.errors().contains(&told), "{line}: {}", output.errors());
    }
}

#[test]
fn a_mistake_elsewhere_does_not_matter() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = mistaken(&database, "[task.bad]\ncommand = [\"true\"]\nqueue = 7\nschedule = \"61 * * * *\"");
        work(&file, "2 mistakes");
        // What needs the sound part of the configuration works, what needs the other part does not.
        let added = sexton(&file).args(["task", "add", "good", "--json"]).output().unwrap();
        assert!(added.status.success(), "{}", added.errors());
        let id = added.json()["id"].to_string();
        let shown = sexton(&file).args(["task", "show", &id, "--json"]).output().unwrap().json();
        assert_eq!((&shown["task"]["queue"], &shown["task"]["priority"]), (&Value::from("q"), &Value::from(7)));
        let refused = call(&file, "task add bad");
        assert_eq!(refused.status.code(), Some(78));
        assert!(refused.errors().contains("task.bad.queue: expected text"), "{}", refused.errors());
        for line in ["run", "start", "restart", "reload", "plan"] {
            assert_eq!(call(&file, line).status.code(), Some(78), "{line}");
        }
    });
}

#[test]
fn a_run_directory_that_cannot_be_read_does_not_matter() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = mistaken(&database, "");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("[daemon]\n", "[daemon]\nrun_dir = 7\n")).unwrap();
        work(&file, "1 mistake");
    });
}

#[test]
fn broken_toml_does_not_matter_below_the_database() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = mistaken(&database, "[task.bad]\ncommand = [\"true\"\nnonsense");
        let output = call(&file, "summary");
        assert!(output.status.success(), "{}", output.errors());
        assert!(output.errors().contains("going on with sqlite:"), "{}", output.errors());
        assert_eq!(call(&file, "task add good").status.code(), Some(78), "its definition may be incomplete");
    });
}

#[test]
fn a_mistake_in_the_address_of_the_database_ends_every_command() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = mistaken(&database, "");
        let text = fs::read_to_string(&file).unwrap();
        for broken in [
            text.replace("url = ", "ulr = "),
            text.replace("url = ", "url = 7 #"),
            text.replace("[database]", "[database"),
            text.replace("[database]", "[databse]"),
        ] {
            fs::write(&file, &broken).unwrap();
            for line in LOOKING.into_iter().filter(|line| *line != "module list") {
                let output = sexton(&file).current_dir(database.folder.path()).args(line.split(' ')).output().unwrap();
                assert_eq!(output.status.code(), Some(78), "{line}: {}{}\n{broken}", output.text(), output.errors());
            }
            assert!(!database.folder.path().join("var").exists(), "the default database is not meant");
        }
    });
}

#[test]
fn looking_creates_no_database() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let (folder, file) = (database.folder.path().join("n"), database.config("n", SETTINGS));
        let text = fs::read_to_string(&file).unwrap();
        let path = folder.join("var/deep/sexton.db");
        fs::write(&file, text.replace(&database.url, "sqlite://var/deep/sexton.db")).unwrap();
        let in_folder = |line: &str| sexton(&file).current_dir(&folder).args(line.split(' ')).output().unwrap();
        let told = format!(
            "sexton: the database {} does not exist yet: `sexton run` and `sexton start` create it, and so does `sexton \
             db migrate`\n",
            path.display()
        );
        for line in LOOKING.into_iter().chain(["task add good", "summary workers", "task wait 1", "queue resume q"]) {
            let output = in_folder(line);
            assert_eq!((output.status.code(), output.errors()), (Some(1), told.clone()), "{line}");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{line}: nothing but the configuration");
        }
        assert_eq!(in_folder("status").status.code(), Some(3));
        assert!(in_folder("config check").status.success());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(in_folder("db migrate").status.success());
        assert!(path.exists());
        assert!(in_folder("summary").status.success());
    });
}
