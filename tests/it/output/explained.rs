//! What the commands say about ends, executions, nodes and modules.

use std::time::Duration;

use sexton::domain::identity::ModuleName;

use super::{call, json, text};
use crate::support::{Daemon, Database, Kind, Printed as _, block_on, eventually, on_each_database};

const TICK: &str = "[task.tick]\nkind = \"noop\"\nschedule = { every = \"200ms\" }";

on_each_database! {
    async fn a_pause_and_a_run_by_hand_keep_the_last_execution_visible(database: Database) {
        let file = database.config("n", TICK);
        let store = database.store().await;
        let daemon = Daemon::start(&file, &["run"]);
        let skipped = async || {
            let entries = store.occurrences("tick", 1_000).await.unwrap();
            entries.iter().filter(|entry| entry.fate == sexton_entities::states::Fate::Skipped).count()
        };
        eventually("it has run", async || json(&file, &["schedule", "list"])[0]["last_outcome"] == "succeeded").await;
        text(&file, &["schedule", "pause", "tick"]);
        eventually("an instant is skipped", async || skipped().await > 0).await;
        let paused = &json(&file, &["schedule", "list"])[0];
        assert_eq!((&paused["last_outcome"], &paused["paused"]), (&"succeeded".into(), &true.into()));
        let id = json(&file, &["schedule", "run", "tick"])["id"].to_string();
        text(&file, &["task", "wait", &id]);
        let shown = json(&file, &["task", "show", &id]);
        let last = &json(&file, &["schedule", "list"])[0];
        assert_eq!(last["last_finished_at"], shown["history"][0]["finished_at"], "the run by hand counts");
        let summary = text(&file, &["summary"]);
        assert!(summary.contains("succeeded") && summary.contains("paused") && !summary.contains("Success"), "{summary}");
        daemon.stop();
    }

    async fn a_node_that_died_is_listed_for_a_day(database: Database) {
        let store = database.store().await;
        let file = database.config("n", TICK);
        let beat = |id: &str, lease| sexton::store::Heartbeat {
            id: id.into(),
            name: id.to_owned(),
            host: "here".to_owned(),
            pid: 7,
            state: sexton_entities::states::NodeState::Quiet,
            lease,
            modules: serde_json::json!([]),
        };
        store.register(&beat("alive", Duration::from_secs(600))).await.unwrap();
        store.heartbeat(&beat("alive", Duration::from_secs(600))).await.unwrap();
        for _ in 0..2 {
            store.register(&beat("gone", Duration::ZERO)).await.unwrap();
            assert_eq!(store.remove_dead_nodes(&"alive".into()).await.unwrap(), 1);
        }
        let nodes = json(&file, &["node", "list"]);
        let states: Vec<_> = nodes.as_array().unwrap().iter().map(|node| (node["id"].as_str().unwrap(), node["state"].as_str().unwrap())).collect();
        assert_eq!(states, [("alive", "quiet"), ("gone", "dead")]);
        assert!(text(&file, &["node", "list"]).contains("dead"));
        store.register(&beat("gone", Duration::from_secs(600))).await.unwrap();
        assert_eq!(json(&file, &["node", "list"])[1]["state"], "quiet", "it has come back");
        store.prune(Duration::from_secs(86_400), async |_| true).await.unwrap();
        assert_eq!(store.dead_nodes().await.unwrap().len(), 1, "it is younger than a day");
    }
}

#[test]
fn a_finished_task_is_shown_with_its_payload_result_and_output() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = "[task.greet]\ncommand = [\"sh\", \"-c\", \"seq 30; echo oops >&2; echo '{\\\"result\\\": {\\\"sent\\\": 3}}' >&3\"]";
        let file = database.config("n", settings);
        call(&file, &["db", "migrate"]);
        text(&file, &["task", "add", "greet", "--payload", "{\"order\": 17}"]);
        text(&file, &["run", "--once"]);
        let shown = text(&file, &["task", "show", "1"]);
        for words in [
            "Task 1, greet: completed, queue default, node n-",
            "payload {\"order\": 17}",
            "result {\"sent\": 3}",
            "29\n30\n",
            "oops",
        ] {
            assert!(shown.contains(words), "{words}:\n{shown}");
        }
        assert!(
            !shown.contains("\n20\n") && shown.contains("(the end; all that is kept: sexton task log 1)"),
            "{shown}"
        );
    });
}

#[test]
fn a_running_command_is_shown_with_its_own_process_and_progress() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let settings = "[task.slow]\ncommand = [\"sh\", \"-c\", \"echo '{\\\"progress\\\": {\\\"percent\\\": 40, \\\"text\\\": \\\"page 2\\\"}, \\\"result\\\": '$$'}' >&3; sleep 600\"]";
        let file = database.config("n", settings);
        let daemon = Daemon::start(&file, &["run"]);
        text(&file, &["task", "add", "slow"]);
        eventually("it reports its progress", async || text(&file, &["task", "list"]).contains("40 % page 2")).await;
        let pid = json(&file, &["summary"])["running"][0]["pid"].as_i64().unwrap();
        let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(title.starts_with("sh\0-c\0"), "{title:?}");
        assert!(text(&file, &["task", "show", "1"]).contains(&format!("running as process {pid} on n-")));
        assert!(text(&file, &["summary"]).contains(&format!(" {pid} ")));
        text(&file, &["task", "cancel", "1"]);
        daemon.stop();
    });
}

#[test]
fn each_module_says_something_and_all_of_them_one_line() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", TICK);
        let daemon = Daemon::start(&file, &["run"]);
        for module in ModuleName::BUILT_IN {
            let printed = text(&file, &["summary", module.as_str()]);
            assert!(printed.starts_with(&format!("Module {module} on n-")), "{printed}");
        }
        let all = ModuleName::BUILT_IN.len();
        let line = format!("\nDaemon modules: {all} modules at work on n-");
        eventually("all of them work", async || text(&file, &["summary"]).contains(&line)).await;
        daemon.stop();
    });
}

#[test]
fn the_latest_instant_is_explained_and_a_removed_schedule_keeps_its_history() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file = database.config("n", TICK);
        let store = database.store().await;
        let none = call(&file, &["schedule", "why", "tick"]);
        assert!(none.errors().contains("no instant of tick has come yet"), "{}", none.errors());
        let daemon = Daemon::start(&file, &["run"]);
        eventually("it has fired", async || !store.occurrences("tick", 1).await.unwrap().is_empty()).await;
        daemon.stop();
        let latest = json(&file, &["schedule", "why", "tick"]);
        let ledger = store.occurrences("tick", 1).await.unwrap()[0].due_at;
        assert!(
            latest["due_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap() >= ledger,
            "{latest}"
        );
        let removed = std::fs::read_to_string(&file).unwrap().replace(TICK, "");
        std::fs::write(&file, removed).unwrap();
        use sea_orm::ConnectionTrait as _;
        store.connection().execute_unprepared("DELETE FROM sexton_schedule").await.unwrap();
        let history = json(&file, &["history", "--schedule", "tick"]);
        assert_eq!(history[0]["fate"], "fired", "{history}");
        assert!(call(&file, &["history", "--schedule", "tock"]).errors().contains("there is no schedule `tock`"));
    });
}
