//! `--json` has exactly the fields and types that `docs/CLI.md` lists.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::Value;

use super::{call, json};
use crate::{
    deployments::Key,
    support::{Daemon, Printed as _, eventually, on_each_database},
};

const SETTINGS: &str = r#"heartbeat = "200ms"
[period.office]
ranges = { "monday - sunday" = "00:00-24:00" }
[queue.reports]
workers = 1
period = "office"
[task.greet]
command = ["sh", "-c", "echo hello; echo '{\"result\": {\"sent\": 3}}' >&3"]
[task.fail]
command = ["sh", "-c", "echo no such order >&2; exit 3"]
[task.slow]
command = ["sh", "-c", "echo '{\"progress\": 40}' >&3; sleep 600"]
[notify.nobody]
kind = "command"
command = ["true"]
[task.tick]
kind = "noop"
schedule = { every = "1s" }
[trigger.greet]
on = "greeting"
task = "hello"
[task.hello]
kind = "noop"
queue = "held"
[queue.held]
workers = 0
[sweep.numbers]
select = "SELECT 1 AS id UNION ALL SELECT NULL"
task = "hello"
key = "id"
[task.rare]
kind = "noop"
queue = "reports"
period = "office"
schedule = { cron = "0 12 1 1 *" }
"#;

/// The shapes of the page: their fields, each with its type and whether its own fields stand in its place.
struct Page {
    commands: BTreeMap<String, String>,
    shapes: BTreeMap<String, Vec<Field>>,
}

struct Field {
    name: String,
    kind: String,
    is_inlined: bool,
}

impl Page {
    fn read() -> Self {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CLI.md")).unwrap();
        let (mut page, mut current) = (Self { commands: BTreeMap::new(), shapes: BTreeMap::new() }, None);
        for line in text.split("\n## JSON\n").nth(1).unwrap().lines() {
            if let Some(name) = line.strip_prefix("### ") {
                current = Some(name.to_owned());
                page.shapes.insert(name.to_owned(), Vec::new());
            }
            let Some(cells) = line.strip_prefix("| `") else { continue };
            let cells: Vec<&str> = cells.trim_end_matches(" |").split(" | ").collect();
            let names = cells[0].split(", ").map(|name| name.trim_matches('`').to_owned());
            match &current {
                None => page.commands.extend(names.map(|name| (name, cells[1].to_owned()))),
                Some(shape) => page.shapes.get_mut(shape).unwrap().extend(names.map(|name| Field {
                    name,
                    kind: cells[1].to_owned(),
                    is_inlined: cells[2].ends_with("at this level"),
                })),
            }
        }
        page
    }

    /// The fields of a shape, by name.
    fn fields(&self, shape: &str) -> BTreeMap<&str, &str> {
        let mut fields = BTreeMap::new();
        for field in self.shapes.get(shape).unwrap_or_else(|| panic!("the page has no shape `{shape}`")) {
            match field.is_inlined {
                true => fields.extend(self.fields(&field.kind)),
                false => fields.extend([(field.name.as_str(), field.kind.as_str())]),
            }
        }
        fields
    }

    /// What is wrong with a value of that type.
    fn faults(&self, value: &Value, kind: &str, place: &str) -> Vec<String> {
        if let Some(kind) = kind.strip_suffix(" or null") {
            return if value.is_null() { Vec::new() } else { self.faults(value, kind, place) };
        }
        if let Some(kind) = kind.strip_prefix("list of ") {
            let Some(items) = value.as_array() else { return vec![format!("{place} is no list: {value}")] };
            return items.iter().flat_map(|item| self.faults(item, kind, &format!("{place}[]"))).collect();
        }
        let is_right = match kind {
            "text" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64(),
            "ms" => value.is_u64(),
            "instant" => value.as_str().is_some_and(|text| DateTime::parse_from_rfc3339(text).is_ok()),
            "json" => true,
            shape => return self.object_faults(value, shape, place),
        };
        if is_right { Vec::new() } else { vec![format!("{place} is no {kind}: {value}")] }
    }

    fn object_faults(&self, value: &Value, shape: &str, place: &str) -> Vec<String> {
        let Some(object) = value.as_object() else { return vec![format!("{place} is no {shape}: {value}")] };
        let fields = self.fields(shape);
        let unknown = object.keys().filter(|name| !fields.contains_key(name.as_str()));
        let mut faults: Vec<String> = unknown.map(|name| format!("{place}.{name} is not documented")).collect();
        for (name, kind) in fields {
            let place = format!("{place}.{name}");
            let (kind, may_be_absent) = kind.strip_suffix(" or absent").map_or((kind, false), |kind| (kind, true));
            match object.get(name) {
                Some(value) => faults.extend(self.faults(value, kind, &place)),
                None if may_be_absent => {}
                None => faults.push(format!("{place} is missing")),
            }
        }
        faults
    }
}

on_each_database! {
    async fn json_is_as_documented(database: Database) {
        let page = Page::read();
        let mut untried: Vec<&String> = page.commands.keys().collect();
        let key = Key::new(&database, "alice");
        let deploy = key.settings("").replace("heartbeat = \"500ms\"\n", "");
        let file = database.config("n", &format!("{SETTINGS}{deploy}"));
        let daemon = Daemon::start(&file, &["run"]);
        let store = database.bare_store();
        let mut check = |command: &str, arguments: &[&str]| {
            let value = json(&file, arguments);
            let kind = page.commands.get(command).unwrap_or_else(|| panic!("`{command}` is not documented"));
            assert_eq!(page.faults(&value, kind, command), Vec::<String>::new(), "{value:#}");
            untried.retain(|known| *known != command);
            value
        };
        let greet = check("task add", &["task", "add", "greet", "--payload", "{\"a\": 1}", "--unique", "k"])["id"].to_string();
        let fail = check("task add", &["task", "add", "fail"])["id"].to_string();
        let slow = check("task add", &["task", "add", "slow"])["id"].to_string();
        check("task add", &["task", "add", "greet", "--at", "tomorrow 08:00"]);
        check("queue pause", &["queue", "pause", "reports", "--reason", "an audit"]);
        check("schedule pause", &["schedule", "pause", "rare"]);
        let rare = check("task add", &["task", "add", "rare", "--expires", "tomorrow 08:00"])["id"].to_string();
        eventually("the short tasks are finished, the long one runs, the schedule has fired", async || {
            let is_finished = async |id: &str| store.task(id.parse().unwrap()).await.unwrap().is_none();
            let running = store.task(slow.parse().unwrap()).await.unwrap().unwrap();
            let pictures = store.schedule_pictures().await.unwrap();
            is_finished(&greet).await && is_finished(&fail).await && running.progress.is_some()
                && pictures.iter().any(|picture| picture.schedule.name == "tick" && picture.last.is_some())
                && store.nodes().await.unwrap().iter().any(|node| node.modules.is_some())
        }).await;
        let after = ["task", "add", "greet", "--after", &slow, "--group", "mails"];
        let follower = check("task add", &after)["id"].to_string();
        assert_eq!(check("task show", &["task", "show", &follower])["waits_code"], "predecessors");
        check("task add", &["task", "add", "greet", "--after-group", "mails", "--when", "always"]);
        assert_ne!(check("group list", &["group", "list"]), serde_json::json!([]));
        assert_ne!(check("group show", &["group", "show", "mails"])["members"], serde_json::json!([]));
        check("task list", &["task", "list"]);
        let shown = check("task show", &["task", "show", &slow]);
        assert!(shown["pid"].is_i64(), "the command runs here: {shown:#}");
        let shown = check("task show", &["task", "show", &greet]);
        assert_eq!((&shown["history"][0]["result"]["sent"], &shown["output"]["stdout"]), (&Value::from(3), &Value::from("hello\n")));
        check("task log", &["task", "log", &greet]);
        let history = check("history", &["history", "--name", "fail", "--since", "1h"]);
        assert_eq!(history[0]["error"], "exit code 3: no such order");
        assert_ne!(check("history --schedule", &["history", "--schedule", "tick"]), serde_json::json!([]));
        check("schedule add", &["schedule", "add", "stored", "--task", "greet", "--cron", "0 2 * * *"]);
        check("schedule edit", &["schedule", "edit", "stored", "--priority", "3"]);
        assert_ne!(check("schedule export", &["schedule", "export"]), serde_json::json!([]));
        let toml = database.folder.path().join("stored.toml");
        std::fs::write(&toml, "[schedule.stored]\ntask = \"greet\"\nevery = \"1h\"\n").unwrap();
        check("schedule import", &["schedule", "import", toml.to_str().unwrap()]);
        check("schedule show", &["schedule", "show", "stored"]);
        check("schedule list", &["schedule", "list"]);
        check("schedule remove", &["schedule", "remove", "stored"]);
        check("schedule show", &["schedule", "show", "tick"]);
        check("schedule show", &["schedule", "show", "rare"]);
        check("schedule why", &["schedule", "why", "tick"]);
        check("schedule why", &["schedule", "why", "rare", "--at", "2027-01-01"]);
        check("schedule next", &["schedule", "next", "rare", "--all"]);
        let event = check("event send", &["event", "send", "greeting", "--payload", "1"])["id"].to_string();
        eventually("a trigger has its task", async || {
            store.fates_of_events(&[event.parse().unwrap()]).await.unwrap().iter().any(|fate| fate.task_id.is_some())
        }).await;
        assert_ne!(check("event show", &["event", "show", &event])["triggers"], serde_json::json!([]));
        let fates = store.fates_of_events(&[event.parse().unwrap()]).await.unwrap();
        let shown = check("task show", &["task", "show", &fates[0].task_id.unwrap().to_string()]);
        assert_eq!(shown["events"][0]["trigger_name"], "greet");
        check("event replay", &["event", "replay", &event]);
        assert_ne!(check("event list", &["event", "list"]), serde_json::json!([]));
        assert_ne!(check("trigger list", &["trigger", "list"]), serde_json::json!([]));
        assert_ne!(check("trigger show NAME", &["trigger", "show", "greet"]), serde_json::json!([]));
        assert_ne!(check("sweep run --dry-run", &["sweep", "run", "numbers", "--dry-run"])["rows"], serde_json::json!([]));
        let round = check("sweep run", &["sweep", "run", "numbers"])["id"].as_i64().unwrap();
        eventually("the round has ended", async || store.task(round).await.unwrap().is_none()).await;
        assert_eq!(check("sweep show", &["sweep", "show", "numbers"])["rounds"][0]["result"]["refused"], 1);
        assert_ne!(check("sweep list", &["sweep", "list"]), serde_json::json!([]));
        let toml = database.folder.path().join("deployed.toml").display().to_string();
        std::fs::write(&toml, "[task.deployed]\nkind = \"noop\"\n").unwrap();
        let signed_by = key.private.to_str().unwrap();
        check("config deploy", &["config", "deploy", &toml, "--dry-run"]);
        check("config deploy", &["config", "deploy", &toml, "--key", signed_by]);
        check("config rollback", &["config", "rollback", "1", "--key", signed_by]);
        check("config diff", &["config", "diff", "1", "2"]);
        eventually("the node has the version", async || {
            let versions = check("config versions", &["config", "versions"]);
            versions[0]["in_force_on"][0] == "n"
        }).await;
        check("queue list", &["queue", "list"]);
        check("node list", &["node", "list"]);
        check("module list", &["module", "list", "--all"]);
        check("summary MODULE", &["summary", "workers"]);
        let written = check("history --output", &["history", "--name", "greet", "--output"]);
        assert_eq!(written[0]["output"]["stdout"], "hello\n");
        check("maintenance on", &["maintenance", "on", "--reason", "a move", "--until", "1h"]);
        assert_eq!(check("maintenance", &["maintenance"])["reason"], "a move");
        assert_eq!(check("summary", &["summary"])["maintenance"]["reason"], "a move");
        check("maintenance off", &["maintenance", "off"]);
        check("pause", &["pause"]);
        let shown = check("task show", &["task", "show", &rare]);
        assert_eq!(shown["waits_code"], "everything_paused");
        check("resume", &["resume"]);
        assert_ne!(check("audit list", &["audit", "list"]), serde_json::json!([]));
        let summary = check("summary", &["summary"]);
        assert_eq!(check("problem list", &["problem", "list"])[0]["name"], "fail");
        let problem = check("problem show", &["problem", "show", "1"]);
        assert_eq!((&problem["what"], &problem["exit_code"]), (&"exit code 3: no such order".into(), &3.into()));
        eventually("the notice is sent", async || {
            store.notices(None, 9).await.unwrap().iter().any(|notice| notice.problem_id == Some(1) && notice.finished_at.is_some())
        }).await;
        assert_ne!(check("problem show", &["problem", "show", "1"])["notice_list"], serde_json::json!([]));
        check("problem ack", &["problem", "ack", "1", "--reason", "known"]);
        check("problem mute", &["problem", "mute", "1", "--for", "2h"]);
        assert_ne!(summary["problems"], serde_json::json!([]));
        check("problem close", &["problem", "close", "1"]);
        check("notify test", &["notify", "test", "nobody"]);
        for list in ["schedules", "future", "waiting", "running", "followers", "queues", "modules"] {
            assert_ne!(summary[list], serde_json::json!([]), "{list}");
        }
        let status = check("status", &["status"]);
        assert!(status["daemon"].is_object() && status["processes"][0].is_object(), "{status:#}");
        check("check", &["check", "--node", "n"]);
        check("stats", &["stats"]);
        check("stats", &["stats", "tick"]);
        check("period list", &["period", "list"]);
        check("db status", &["db", "status"]);
        check("task move", &["task", "move", "--queue", "reports", "--to", "default", "--dry-run"]);
        check("task retry --FILTER", &["task", "retry", "--name", "greet", "--dry-run"]);
        check("task retry --FILTER", &["task", "retry", "--discarded"]);
        check("group retry", &["group", "retry", "mails", "--dry-run"]);
        check("group cancel", &["group", "cancel", "mails"]);
        check("task cancel --FILTER", &["task", "cancel", "--name", "slow", "--dry-run"]);
        check("task cancel --FILTER", &["task", "cancel", "--name", "slow"]);
        assert_eq!(untried, ["doctor", "period check"], "their exit codes tell the answer");
        let answer = call(&file, &["doctor", "--json"]).json();
        assert_eq!(page.faults(&answer, "doctor answer", "doctor"), Vec::<String>::new(), "{answer:#}");
        let inside = call(&file, &["period", "check", "office", "--at", "2026-11-23 10:00", "--json"]);
        let answer = inside.json();
        assert_eq!(page.faults(&answer, "period answer", "period check"), Vec::<String>::new(), "{answer:#}");
        daemon.stop();
    }
}
