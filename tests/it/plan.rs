//! What schedules will do, and what a changed configuration changes in that.

use std::{fs, path::PathBuf, process::Output};

use serde_json::json;

use crate::support::{Daemon, Database, Kind, Printed, block_on, eventually, sexton};

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
    let people = Files::new().plan(NEW, Some(OLD), &["--utc"]);
    assert!(people.text().contains("30 02:00Z -> ") && people.text().contains("30 03:30Z "), "{}", people.text());
}

#[test]
fn the_same_instants_are_no_difference_however_they_are_written() {
    let same = OLD.replace("every = \"1h\"", "cron = \"0 * * * *\"").replace("@daily", "0 0 * * *");
    let output = Files::new().plan(&same, Some(OLD), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", output.text());
    assert!(output.text().contains("The plans do not differ."), "{}", output.text());
}

#[test]
fn a_configuration_alone_is_shown_and_a_short_interval_is_cut() {
    let output = Files::new().plan("[task.t]\nkind = \"noop\"\nschedule = { every = \"1s\" }\n", None, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", output.errors());
    assert!(output.text().contains("50000+"), "{}", output.text());
    assert!(output.text().contains("t: only the first 50000 instants up to"), "{}", output.text());
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

/// On a Friday, and on a Monday; the weekend is outside.
const OFFICE: &str = "[period.office]\ntimezone = \"Europe/Berlin\"\nranges = { \"monday - friday\" = \"09:00-10:00\" }\n\
                      [task.skips]\nkind = \"noop\"\nschedule = { cron = \"*/30 * * * *\", timezone = \"Europe/Berlin\" }\n\
                      period = \"office\"\n\
                      [task.holds]\nkind = \"noop\"\nschedule = \"30 20 * * *\"\nperiod = \"office\"\noutside_period = \"hold\"\n";

#[test]
fn instants_outside_a_period_are_left_out_or_held() {
    let files = Files::new();
    let output = files.plan(OFFICE, None, &["--json"]);
    let found = output.json();
    // Eight mornings, of two half hours; ten evenings of which the last is held beyond the end.
    let of =
        |name: &str| found["schedules"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!(of("skips")["instants"], 16, "{found}");
    assert_eq!((&of("holds")["period"], &of("holds")["outside"]), (&json!("office"), &json!("held")));
    // One each morning: of the evenings from Friday on, the last one.
    assert_eq!(of("holds")["instants"], 8, "{found}");
    let all = files.plan(&format!("{OFFICE}missed = \"all\"\n"), None, &["--json"]).json();
    // What was held before the begin of the stretch comes in it: three evenings from Friday on.
    let holds = all["schedules"].as_array().unwrap().iter().find(|one| one["name"] == "holds").unwrap();
    assert_eq!(holds["instants"], 10 - 1 + 3, "{all}");
    assert_eq!(found["busiest"][0]["at"], "2026-11-30T08:00:00Z");
    let text = files.plan(OFFICE, None, &[]).text();
    assert!(text.contains("office; skipped outside") && text.contains("office; held outside"), "{text}");
    // Another period moves what is held.
    let later = OFFICE.replace("09:00-10:00", "09:30-10:00");
    let changes = files.plan(&later, Some(OFFICE), &["--json"]).json();
    let holds = &changes["changes"][0];
    assert_eq!(holds["moved"][0], json!({ "from": "2026-11-30T08:00:00Z", "to": "2026-11-30T08:30:00Z" }));
}

#[test]
fn next_leaves_out_what_is_skipped_and_marks_what_is_held() {
    let file = Files::new();
    let path = file.file("new.toml", OFFICE);
    let next = |name: &str, more: &[&str]| {
        let arguments = ["schedule", "next", name, "-n", "3", "--from", "2026-11-27T09:15:00+01:00"];
        sexton(&path).args(arguments).args(more).output().unwrap()
    };
    let at = |output: &Output| -> Vec<String> {
        output.json().as_array().unwrap().iter().map(|one| one["at"].as_str().unwrap().to_owned()).collect()
    };
    let friday = "2026-11-27T09:30:00+01:00";
    assert_eq!(at(&next("skips", &["--json"])), [friday, "2026-11-30T09:00:00+01:00", "2026-11-30T09:30:00+01:00"]);
    let all = next("skips", &["--json", "--all"]);
    assert_eq!(at(&all), [friday, "2026-11-27T10:00:00+01:00", "2026-11-27T10:30:00+01:00"]);
    let places: Vec<_> = all.json().as_array().unwrap().iter().map(|one| one["place"].clone()).collect();
    assert_eq!(places, ["inside", "skipped", "skipped"]);
    let text = next("skips", &["--all"]).text();
    assert!(text.lines().nth(1).unwrap().ends_with("(skipped: outside period office)"), "{text}");
    let held = next("holds", &["--json"]).json();
    let first = json!({ "at": "2026-11-29T20:30:00+00:00", "utc": "2026-11-29T20:30:00+00:00",
                        "place": "held", "held_until": "2026-11-30T08:00:00+00:00", "coalesced_into": null });
    assert_eq!(held[0], first, "the last one before the period begins");
    let text = next("holds", &["--all"]).text();
    let friday = "(coalesced into Sun 2026-11-29 20:30:00 +00:00 UTC: outside period office)";
    assert!(text.lines().next().unwrap().ends_with(friday), "{text}");
    let text = next("holds", &[]).text();
    assert!(text.contains("(held until Mon 2026-11-30 08:00:00 +00:00 UTC: outside period office)"), "{text}");
    file.file("new.toml", &OFFICE.replace("monday - friday", "2020-01-01"));
    let never = next("skips", &[]).text();
    assert_eq!(never, "All further instants until Fri 2026-11-27 09:30:00 +01:00 CET are outside period office\n");
}

#[test]
fn a_configuration_is_compared_with_what_the_daemon_has_in_force() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let old = database.config("n", OLD);
        let daemon = Daemon::start(&old, &["run"]);
        // The file is another one by now, and the daemon has not read it.
        let text = fs::read_to_string(&old).unwrap();
        let new = old.with_file_name("new.toml");
        fs::write(&new, text.replace(OLD, NEW)).unwrap();
        let plan = |more: &[&str]| {
            let arguments = ["plan", "--against", "running", "--days", "10", "--from", "2026-11-30T00:30:00Z"];
            sexton(&new).args(arguments).args(more).output().unwrap()
        };
        let output = plan(&["--json"]);
        assert_eq!(output.status.code(), Some(2), "{}", output.errors());
        let found = output.json();
        let names: Vec<_> = found["changes"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["come", "gone", "night"]);
        assert_eq!(
            found["changes"][2]["moved"][0],
            json!({ "from": "2026-11-30T02:00:00Z", "to": "2026-11-30T03:30:00Z" })
        );
        let against = &found["against"];
        assert_eq!((&against["running"], &against["pid"]), (&json!(true), &json!(daemon.pid())));
        assert_eq!((&against["file"], &found["config"]), (&json!(old), &json!(new)));
        let text = plan(&[]).text();
        let expected = format!(
            "{} compared with the configuration in force in the daemon (process {}: {}",
            new.display(),
            daemon.pid(),
            old.display()
        );
        assert!(text.contains(&expected), "{text}");
        let same = sexton(&old).args(["plan", "--against", "running"]).output().unwrap();
        assert_eq!(same.status.code(), Some(0), "{}", same.text());
        assert!(same.text().contains("The plans do not differ."), "{}", same.text());
        daemon.stop();
        let alone = plan(&[]);
        assert_eq!(alone.status.code(), Some(1));
        assert!(
            alone
                .errors()
                .contains("cannot compare with the running daemon: Sexton is not running (no daemon answers at"),
            "{}",
            alone.errors()
        );
    });
}

#[test]
fn a_daemon_that_waits_for_its_database_has_a_configuration_in_force() {
    block_on(async {
        let mut database = Database::new(Kind::Sqlite).await;
        database.url = "postgres://nobody@127.0.0.1:1/nothing".to_owned();
        let file = database.config("n", OLD);
        let daemon = Daemon::spawn(&file, &["run"]);
        eventually("it can be asked", async || sexton(&file).arg("status").output().unwrap().status.success()).await;
        let same = sexton(&file).args(["plan", "--against", "running", "--json"]).output().unwrap();
        assert_eq!((same.status.code(), &same.json()["changes"]), (Some(0), &json!([])), "{}", same.errors());
        daemon.stop();
    });
}
