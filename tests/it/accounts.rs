//! What became of each instant of a schedule, asked of what real daemons have left behind.

use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use sexton::{clock::machine_time, store::Store};

use crate::support::{Database, Kind, Printed, on_each_database, sexton};

/// Hourly schedules whose latest instant was half an hour ago, so that no instant comes while the test runs.
struct QueueHours {
    latest: DateTime<Utc>,
    file: PathBuf,
    settings: String,
}

/// Of each schedule, its name and what is said of it beside its recurrence.
const TASKS: [(&str, &str); 8] = [
    ("last", ""),
    ("none", "missed = \"skip\"\n"),
    ("old", "missed_age = \"90m\"\n"),
    ("paused", "missed = \"all\"\n"),
    ("alone", "missed = \"all\"\noverlap = \"skip\"\n"),
    ("outside", "missed = \"all\"\nperiod = \"past\"\n"),
    ("held", "missed = \"all\"\nperiod = \"coming\"\noutside_period = \"hold\"\n"),
    ("edited", ""),
];

impl QueueHours {
    fn new(database: &Database) -> Self {
        let latest = DateTime::from_timestamp(machine_time().timestamp() - 1_800, 0).unwrap();
        let anchor = (latest - TimeDelta::days(30)).to_rfc3339_opts(SecondsFormat::Secs, true);
        let (day, year) = (latest + TimeDelta::days(2), latest - TimeDelta::days(366));
        let mut settings = format!(
            "[period.past]\ntimezone = \"UTC\"\nranges = {{ \"{}\" = \"09:00-17:00\" }}\n\
             [period.coming]\ntimezone = \"UTC\"\nranges = {{ \"{}\" = \"09:00-17:00\" }}\n",
            year.format("%Y-%m-%d"),
            day.format("%Y-%m-%d")
        );
        for (name, more) in TASKS {
            let schedule = format!("schedule = {{ every = \"1h\", anchor = \"{anchor}\" }}\n");
            settings += &format!("[task.{name}]\nkind = \"noop\"\n{schedule}{more}");
        }
        Self { latest, file: database.config("n", &settings), settings }
    }

    /// The instant so many hours before the latest one.
    fn ago(&self, hours: i64) -> DateTime<Utc> {
        self.latest - TimeDelta::hours(hours)
    }

    fn call(&self, arguments: &[&str]) -> std::process::Output {
        let output = sexton(&self.file).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.errors());
        output
    }

    /// What became of the instants of a schedule, the oldest first.
    fn accounts(&self, name: &str) -> Vec<Value> {
        let output = self.call(&["history", "--schedule", name, "--json"]);
        let mut accounts = output.json().as_array().unwrap().clone();
        accounts.reverse();
        accounts
    }

    fn why(&self, name: &str, hours: i64) -> Value {
        self.call(&["schedule", "why", name, "--at", &self.ago(hours).to_rfc3339(), "--json"]).json()
    }

    /// As if the schedules had been first seen, and dealt with, so many hours before the latest instant.
    async fn set_back(&self, database: &Database, store: &Store, hours: i64, names: &str) {
        let at = self.ago(hours) + TimeDelta::minutes(1);
        let at = match database.kind {
            Kind::MariaDb | Kind::MySql => at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
            Kind::Sqlite | Kind::Postgres => at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        };
        let sql = format!("UPDATE sexton_schedule SET created_at = '{at}', last_at = '{at}' WHERE name IN ({names})");
        store.connection().execute_unprepared(&sql).await.unwrap();
    }
}

fn words(accounts: &[Value], field: &str) -> Vec<String> {
    accounts.iter().map(|account| account[field].as_str().unwrap_or("-").to_owned()).collect()
}

fn words_of<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn said(account: &Value, text: &str) {
    assert!(account["why"].as_str().unwrap().contains(text), "«{text}» is not in {account}");
}

on_each_database! {
    async fn every_instant_of_a_schedule_is_accounted_for(database: Database) {
        let store = database.store().await;
        let hours = QueueHours::new(&database);
        hours.call(&["run", "--once"]);
        assert_eq!(hours.accounts("last"), Vec::<Value>::new(), "nothing is expected before it is first seen");
        let all = TASKS.map(|(name, _)| format!("'{name}'")).join(", ");
        hours.set_back(&database, &store, 4, &all).await;
        // No daemon is running: the ledger has no entry, but the instant is expected.
        let down = hours.accounts("last");
        assert_eq!(words(&down, "became"), ["not_run"; 4]);
        said(&down[0], "no daemon with this schedule was running, and none is running now");
        assert_eq!((&down[3]["fate"], &down[3]["expected"]), (&Value::Null, &Value::Bool(true)));
        hours.call(&["schedule", "pause", "paused"]);
        // An edited schedule restarts.
        let edited = hours.settings.replacen("[task.edited]\nkind = \"noop\"\nschedule = {", "[task.edited]\nkind = \"noop\"\nschedule = { jitter = \"1ms\",", 1);
        database.config("n", &edited);
        hours.call(&["run", "--once"]);

        let last = hours.accounts("last");
        assert_eq!(words(&last, "became"), ["coalesced", "coalesced", "coalesced", "late"]);
        let task = &last[3]["task_id"];
        assert!(task.is_number() && last[0]["task_id"] == *task, "{last:?}");
        assert_eq!(last[0]["into"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(), hours.latest);
        assert_eq!((last[3]["outcome"].as_str(), last[3]["verdict"].as_str()), (Some("succeeded"), Some("completed")));
        said(&last[3], "late by 30m");
        said(&last[3], &format!("as task {task}, which was completed"));
        said(&last[0], &format!("as task {task}, which was completed"));

        let none = hours.accounts("none");
        assert_eq!(words(&none, "became"), ["skipped"; 4]);
        said(&none[3], "missed: no node entered it in time, and the schedule skips missed runs");
        let old = hours.accounts("old");
        assert_eq!(words(&old, "became"), ["skipped", "skipped", "skipped", "late"]);
        said(&old[2], "missed: 1h 30m ");
        let paused = hours.accounts("paused");
        assert_eq!(words(&paused, "became"), ["skipped"; 4]);
        said(&paused[0], "the schedule is paused");
        let alone = hours.accounts("alone");
        assert_eq!(words(&alone, "became"), ["late", "skipped", "skipped", "skipped"]);
        said(&alone[1], "is not finished");
        let codes = |accounts: &[Value]| words(accounts, "reason_code");
        assert_eq!(codes(&last), ["coalesced", "coalesced", "coalesced", "late"]);
        assert_eq!((codes(&none), codes(&paused)), (vec!["missed".to_owned(); 4], vec!["paused".to_owned(); 4]));
        assert_eq!((codes(&old), &old[2]["missed_age_ms"]), (words_of(["missed_age", "missed_age", "missed_age", "late"]), &5_400_000.into()));
        assert_eq!((codes(&alone), &alone[1]["blocked_by"]), (words_of(["late", "overlap", "overlap", "overlap"]), &alone[0]["due_at"]));
        assert_eq!((&last[0]["coalesced_into"], &last[0]["stands_for"]), (&last[0]["into"], &Value::from(0)));
        let outside = hours.accounts("outside");
        assert_eq!(words(&outside, "became"), ["skipped"; 4]);
        said(&outside[0], "outside period past: `");
        said(&outside[0], "and no range follows");
        let held = hours.accounts("held");
        assert_eq!(words(&held, "became"), ["held"; 4]);
        said(&held[0], ", which is scheduled");
        said(&held[0], "no range precedes it, and `");
        assert_eq!((held[0]["state"].as_str(), held[0]["held_until"].is_string()), (Some("scheduled"), true));
        let edited = hours.accounts("edited");
        assert_eq!(words(&edited, "became"), ["not_run"; 4]);
        said(&edited[0], "the schedule was edited and restarted at ");

        // The same rule in the other commands.
        for (name, hour) in [("last", 3), ("last", 0), ("outside", 1), ("held", 2), ("edited", 1), ("paused", 0)] {
            let listed = &hours.accounts(name)[3 - hour as usize];
            let why = hours.why(name, hour);
            for field in ["why", "became", "task_id", "into", "held_until", "expected", "fate", "reason", "reason_code", "period"] {
                assert_eq!(why[field], listed[field], "{name} {field}");
            }
            let shown = hours.call(&["schedule", "show", name, "--json"]).json();
            assert_eq!(shown["occurrences"][hour as usize], *listed, "{name}");
        }
        let since = hours.ago(2).to_rfc3339();
        let recent = hours.call(&["history", "--schedule", "last", "--since", &since, "--json"]).json();
        assert_eq!(recent.as_array().unwrap().len(), 3, "{recent}");
        let two = hours.call(&["schedule", "show", "last", "-n", "2", "--json"]).json();
        assert_eq!(two["occurrences"].as_array().unwrap().len(), 2);
        let text = hours.call(&["history", "--schedule", "held"]).text();
        assert!(text.contains("held") && text.contains("scheduled"), "{text}");
        let text = hours.call(&["schedule", "show", "outside"]).text();
        assert!(text.contains("ahead, and it is skipped: outside period past: "), "{text}");
        let unknown = sexton(&hours.file).args(["history", "--schedule", "lost"]).output().unwrap();
        assert!(unknown.errors().contains("there is no schedule `lost`; did you mean `last`?"), "{}", unknown.errors());
    }

    async fn what_is_not_on_record_is_not_made_up(database: Database) {
        let store = database.store().await;
        let hours = QueueHours::new(&database);
        hours.call(&["run", "--once"]);
        hours.set_back(&database, &store, 4, "'last', 'none'").await;
        hours.call(&["run", "--once"]);
        let sql = "DELETE FROM sexton_occurrence WHERE schedule = 'last' AND fate <> 'late'";
        store.connection().execute_unprepared(sql).await.unwrap();
        let last = hours.accounts("last");
        assert_eq!(words(&last, "became"), ["not_known", "not_known", "not_known", "late"]);
        said(&last[0], "the record does not show what happened to last at ");
        assert_eq!(hours.why("last", 3)["why"], last[0]["why"]);
        // The configuration here no longer has the schedule: only recorded instants are listed.
        let without = hours.settings.replacen("[task.none]", "[task.other]", 1);
        database.config("n", &without);
        let none = hours.accounts("none");
        assert_eq!(words(&none, "became"), ["skipped"; 4]);
        assert_eq!(none[0]["expected"], Value::Null);
        assert_eq!(hours.accounts("other"), Vec::<Value>::new(), "no node has seen it");
    }

    async fn a_queue_that_is_shut_says_until_when(database: Database) {
        let store = database.store().await;
        let coming = (machine_time() + TimeDelta::days(2)).format("%Y-%m-%d").to_string();
        let settings = format!(
            "timezone = \"UTC\"\n[period.p]\nranges = {{ \"{coming}\" = \"09:00-17:00\" }}\n[queue.q]\nworkers = 1\nperiod = \"p\"\n\
             [queue.open]\nworkers = 1\n[task.t]\nkind = \"noop\"\nqueue = \"q\"\n"
        );
        let daemon = database.daemon("n", &settings);
        let file = database.folder.path().join("n/sexton.toml");
        let words = format!("outside period p until {coming} 09:00:00Z");
        let status = json(&file, &["status"]);
        assert_eq!(status["daemon"]["closed_queues"], serde_json::json!({ "q": words }));
        let text = sexton(&file).arg("status").output().unwrap().text();
        assert!(text.contains(&format!("q is closed: {words}")), "{text}");
        store.pause_queue(&"q".into(), true).await.unwrap();
        let queues = json(&file, &["queue", "list"]);
        let of = |name: &str| queues.as_array().unwrap().iter().find(|queue| queue["name"] == name).unwrap().clone();
        let (open, shut) = (of("open"), of("q"));
        assert_eq!((&open["closed"], &open["period"], &open["until"]), (&Value::Bool(false), &Value::Null, &Value::Null));
        assert_eq!((&shut["closed"], &shut["period"], &shut["paused"]), (&Value::Bool(true), &Value::from("p"), &Value::Bool(true)));
        assert_eq!(shut["until"].as_str(), Some(format!("{coming}T09:00:00Z").as_str()));
        for arguments in [["queue", "list"].as_slice(), &["summary"]] {
            let text = sexton(&file).args(arguments).output().unwrap().text();
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains("paused since ") && flat.contains("; outside period p"), "{text}");
        }
        daemon.stop();
    }
}

fn json(file: &Path, arguments: &[&str]) -> Value {
    let output = sexton(file).args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", output.errors());
    output.json()
}
