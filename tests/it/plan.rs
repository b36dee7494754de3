//! What schedules will do, and what a changed configuration changes in that.

use std::{fs, path::PathBuf, process::Output};

use serde_json::json;

use crate::support::{Printed, sexton};

const OLD: &str = "[task.night]\nkind = \"noop\"\nschedule = \"0 2 * * *\"\n\
                   [task.gone]\nkind = \"noop\"\nschedule = \"@daily\"\n\
                   [task.same]\nkind = \"noop\"\nschedule = { every = \"1h\" }\n";
const NEW: &str = "[task.night]\nkind = \"noop\"\nschedule = \"30 3 * * *\"\n\
                   [task.come]\nkind = \"noop\"\nschedule = \"0 12 2 * *\"\n\
                   [task.same]\nkind = \"noop\"\nschedule = \"0 * * * *\"\n";

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// The plan of `new` for ten days, against `old`.
    fn plan(&self, new: &str, old: Option<&str>, more: &[&str]) -> Output {
        let mut command = sexton(&self.file("new.toml", new));
        command.args(["plan", "--days", "10", "--from", "2026-11-30T00:30:00Z"]).args(more);
        if let Some(old) = old {
            command.arg("--against").arg(self.file("old.toml", old));
        }
        command.output().unwrap()
    }
}

#[test]
fn a_changed_configuration_is_compared_by_its_instants() {
    let output = Files::new().plan(NEW, Some(OLD), &["--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", output.errors());
    let found = output.json();
    assert_eq!(found["changes"].as_array().unwrap().len(), 3);
    let [come, gone, night] = [0, 1, 2].map(|index| &found["changes"][index]);
    assert_eq!((&come["name"], &come["schedule"]), (&json!("come"), &json!("added")));
    assert_eq!(come["added"], json!(["2026-12-02T12:00:00Z"]));
    assert_eq!((&gone["schedule"], gone["removed"].as_array().unwrap().len()), (&json!("removed"), 10));
    assert_eq!((&night["schedule"], night["moved"].as_array().unwrap().len()), (&json!("changed"), 10));
    assert_eq!(night["moved"][0], json!({ "from": "2026-11-30T02:00:00Z", "to": "2026-11-30T03:30:00Z" }));
    assert_eq!(found["busiest"][0]["at"], "2026-12-02T12:00:00Z");
    assert_eq!(found["busiest"][0]["schedules"], json!({ "come": 1, "same": 1 }));
    assert_eq!(found["busiest"].as_array().unwrap().len(), 10);
    let people = Files::new().plan(NEW, Some(OLD), &[]);
    assert!(people.text().contains("2026-11-30 02:00:00Z -> 2026-11-30 03:30:00Z"), "{}", people.text());
}

#[test]
fn the_same_instants_are_no_difference_however_they_are_written() {
    let same = OLD.replace("every = \"1h\"", "cron = \"0 * * * *\"").replace("@daily", "0 0 * * *");
    let output = Files::new().plan(&same, Some(OLD), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", output.text());
    assert!(output.text().contains("No instant is different."), "{}", output.text());
}

#[test]
fn a_configuration_alone_is_shown_and_a_short_interval_is_cut() {
    let output = Files::new().plan("[task.t]\nkind = \"noop\"\nschedule = { every = \"1s\" }\n", None, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", output.errors());
    assert!(output.text().contains("50000+"), "{}", output.text());
    assert!(output.text().contains("of t, the first 50000 instants are counted"), "{}", output.text());
    assert!(output.text().contains("t (60 times)"), "{}", output.text());
}

#[test]
fn mistakes_in_either_configuration_are_told() {
    let mistaken = "[task.t]\nkind = \"noop\"\nschedule = \"61 * * * *\"\n";
    for (new, old, named) in [(mistaken, OLD, "new.toml"), (OLD, mistaken, "old.toml")] {
        let output = Files::new().plan(new, Some(old), &[]);
        assert_eq!(output.status.code(), Some(78));
        assert!(output.errors().contains(&format!("{named}:3")), "{}", output.errors());
    }
}
