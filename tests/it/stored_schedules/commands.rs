//! `sexton schedule add`, `edit`, `remove`, `export` and `import`, and what the other commands say of such schedules.

use std::fs;

use serde_json::{Value, json};

use super::{SETTINGS, call, listed, refused};
use crate::support::{Database, Kind, Printed as _, block_on, on_each_database};

on_each_database! {
    async fn a_schedule_is_added_edited_and_removed(database: Database) {
        database.store().await;
        let file = database.config("n", SETTINGS);
        let added = call(&file, &["schedule", "add", "nightly", "--task", "report", "--cron", "0 2 * * *",
            "--timezone", "Europe/Berlin", "--payload", "{\"to\": \"sales\"}", "--queue", "slow", "--missed", "all",
            "--overlap", "skip", "--timeout", "10m", "--set", "missed_age=2h", "--set", "missed_max=5",
            "--set", "expect={ every = \"26h\" }", "--reason", "ticket 7"]);
        assert!(added.text().contains("schedule nightly is added: At 02:00 every day, Europe/Berlin"), "{}", added.text());
        let shown = listed(&file, "nightly");
        assert_eq!((&shown["task"], &shown["origin"], &shown["unused"]), (&json!("report"), &json!("database"), &Value::Null));
        assert_eq!(shown["payload"], json!("{\"to\": \"sales\"}"));
        let next = call(&file, &["schedule", "next", "nightly", "-n", "1", "--from", "2026-12-01T00:00:00Z"]).text();
        assert!(next.contains("2026-12-01 02:00:00 +01:00 CET"), "{next}");
        assert!(call(&file, &["schedule", "describe", "nightly"]).text().contains("02:00"));
        let plan = call(&file, &["plan", "--days", "2", "--json"]).json();
        assert_eq!(plan["schedules"][0]["name"], json!("nightly"));
        call(&file, &["schedule", "edit", "nightly", "--every", "1h", "--priority", "-3", "--unset", "missed_max",
            "--unset", "missed", "--unset", "timezone"]);
        let exported = call(&file, &["schedule", "export", "nightly"]).text();
        for line in ["[schedule.nightly]", "task = \"report\"", "every = \"1h\"", "priority = -3", "overlap = \"skip\"", "[schedule.nightly.payload]"] {
            assert!(exported.contains(line), "«{line}» is not in\n{exported}");
        }
        assert!(!exported.contains("cron") && !exported.contains("missed_max"), "{exported}");
        call(&file, &["schedule", "pause", "nightly"]);
        call(&file, &["schedule", "run", "nightly"]);
        let task = call(&file, &["task", "list", "--json"]).json()[0].clone();
        assert_eq!((&task["name"], &task["queue"], &task["priority"]), (&json!("report"), &json!("slow"), &json!(-3)));
        call(&file, &["schedule", "remove", "nightly"]);
        assert_eq!(listed(&file, "nightly"), Value::Null);
        let audit = call(&file, &["audit", "list", "--json"]).json();
        let of = |action: &str| audit.as_array().unwrap().iter().find(|deed| deed["action"] == action).cloned().unwrap();
        let (add, edit, remove) = (of("add"), of("edit"), of("remove"));
        assert_eq!((&add["name"], &add["target"], &add["reason"]), (&json!("nightly"), &json!("schedule"), &json!("ticket 7")));
        assert_eq!((&add["value_before"], &add["value_after"]["cron"]), (&Value::Null, &json!("0 2 * * *")));
        assert_eq!((&edit["value_before"]["cron"], &edit["value_after"]["cron"]), (&json!("0 2 * * *"), &Value::Null));
        assert_eq!((&remove["value_before"]["task"], &remove["value_after"]), (&json!("report"), &Value::Null));
        // What was exported can stand in the file, and can be imported.
        let toml = database.folder.path().join("exported.toml");
        fs::write(&toml, &exported).unwrap();
        let toml = toml.to_str().unwrap();
        let would = call(&file, &["schedule", "import", toml, "--dry-run"]).text();
        assert!(would.contains("would be imported: 1 schedule (1 added, 0 edited, 0 unchanged)"), "{would}");
        assert_eq!(listed(&file, "nightly"), Value::Null);
        call(&file, &["schedule", "import", toml]);
        let again = call(&file, &["schedule", "import", toml, "--json"]).json();
        assert_eq!(again, json!({ "added": [], "edited": [], "unchanged": 1 }));
        assert_eq!(call(&file, &["schedule", "export"]).text(), exported);
        let pasted = database.config("pasted", &format!("{SETTINGS}{exported}"));
        call(&pasted, &["config", "check"]);
        let config = call(&pasted, &["config", "show"]).text();
        assert!(config.contains("[schedule.nightly]"), "{config}");
        assert_eq!(call(&pasted, &["schedule", "describe", "nightly"]).text(), call(&file, &["schedule", "describe", "nightly"]).text());
    }
}

#[test]
fn what_is_wrong_is_refused_with_the_way_out() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        database.store().await;
        let settings = format!(
            "{SETTINGS}[task.own]\nkind = \"noop\"\nschedule = \"@daily\"\n[task.kept]\nkind = \"noop\"\nschedulable = false\n"
        );
        let file = database.config("n", &settings);
        let add = |arguments: &[&str]| refused(&file, &[&["schedule", "add"], arguments].concat());
        let said = |answer: &str, text: &str| assert!(answer.contains(text), "«{text}» is not in «{answer}»");
        said(&add(&["own", "--task", "report", "--cron", "@daily"]), "a configuration file defines schedule `own`");
        said(&add(&["x", "--task", "repot", "--cron", "@daily"]), "did you mean `report`?");
        said(&add(&["x", "--task", "kept", "--cron", "@daily"]), "schedulable = false");
        said(&add(&["x", "--task", "report", "--cron", "61 * * * *"]), "cron: ");
        said(&add(&["x", "--task", "report"]), "expected one of `cron`, `every`");
        said(&add(&["x", "--task", "report", "--every", "1h", "--payload", "{"]), "payload: it is not JSON");
        said(&add(&["x y", "--task", "report", "--every", "1h"]), "schedule name");
        said(
            &add(&["x", "--task", "report", "--every", "1h", "--set", "command=[\"id\"]"]),
            "command: a schedule cannot set this",
        );
        said(&add(&["x", "--task", "report", "--every", "1h", "--set", "missed"]), "expected KEY=VALUE");
        call(&file, &["schedule", "add", "x", "--task", "report", "--every", "1h"]);
        said(&add(&["x", "--task", "report", "--every", "1h"]), "`sexton schedule edit x` changes it");
        said(&refused(&file, &["schedule", "edit", "y", "--every", "1h"]), "there is no schedule `y`");
        said(&refused(&file, &["schedule", "remove", "own"]), "a configuration file defines schedule `own`");
        said(&refused(&file, &["schedule", "edit", "x", "--unset", "every"]), "expected one of `cron`");
        let toml = database.folder.path().join("bad.toml");
        fs::write(
            &toml,
            "[schedule.good]\ntask = \"report\"\nevery = \"1h\"\n[schedule.bad]\ntask = \"report\"\nevery = \"x\"\n",
        )
        .unwrap();
        said(&refused(&file, &["schedule", "import", toml.to_str().unwrap()]), "nothing is imported");
        assert_eq!(listed(&file, "good"), Value::Null);
        fs::write(&toml, "[task.evil]\ncommand = [\"id\"]\n").unwrap();
        said(&refused(&file, &["schedule", "import", toml.to_str().unwrap()]), "[task] is not imported");
    });
}
