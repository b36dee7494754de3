//! Chains and groups over two nodes, of which one is killed at each step: each task runs once on record.

use std::{os::unix::process::ExitStatusExt as _, path::Path};

use sexton::{Client, NewTask, store::Store};
use sexton_entities::states::Outcome;

use super::{count, history};
use crate::support::{Daemon, Printed as _, eventually, on_each_database, sexton};

const SETTINGS: &str = r#"lease = "2s"
heartbeat = "500ms"
[task.nothing]
kind = "noop"
[task.import]
command = ["sh", "-c", "echo '{\"result\": {\"rows\": 7}}' >&3"]
[task.index]
command = ["sh", "-c", "cat; echo \" $SEXTON_TASK_AFTER\""]
"#;
/// Each step between the record of an end and what follows from it.
const STEPS: [&str; 2] = ["attempts recorded", "groups settled"];
const MEMBERS: usize = 40;

/// Starts a daemon that is killed at that step, and waits for its end.
fn die_at(file: &Path, step: &str) {
    let mut command = sexton(file);
    command.arg("run").env("SEXTON_FAULT_POINT", step);
    let mut daemon = Daemon::spawn_command(command, file);
    assert_eq!(daemon.wait().signal(), Some(9), "killed at `{step}`:\n{}", daemon.log());
}

/// A group, a task after it, and a chain behind that. The payloads of the followers are their places in the chain.
async fn enqueue(store: &Store, group: &str) {
    let client = Client::new(store.clone());
    let mut tasks = vec![NewTask::new("nothing").queue("default").group(group); MEMBERS];
    let follower = |place: usize| NewTask::new("nothing").queue("default").payload(format!("{group} {place}"));
    tasks.push(follower(0).after_group(group));
    client.enqueue_all(tasks).await.unwrap();
    let mut after = count(store, "MAX(id) FROM sexton_task").await;
    for place in 1..=3 {
        after = client.enqueue(follower(place).after([after])).await.unwrap().id();
    }
}

on_each_database! {
    async fn a_node_that_is_killed_at_any_step_loses_no_follower_and_repeats_none(database: Database) {
        let store = database.store().await;
        let (first, second) = (database.config("n1", SETTINGS), database.config("n2", SETTINGS));
        for (index, step) in STEPS.into_iter().enumerate() {
            enqueue(&store, &format!("g{index}")).await;
            let (path, at) = (first.clone(), step.to_owned());
            tokio::task::spawn_blocking(move || die_at(&path, &at)).await.unwrap();
            let survivor = Daemon::start(&second, &["run"]);
            let killed = Daemon::start(&first, &["run"]);
            eventually("all tasks are done", async || count(&store, "COUNT(*) FROM sexton_task").await == 0).await;
            survivor.stop();
            killed.stop();
        }
        let tasks = (STEPS.len() * (MEMBERS + 4)) as i64;
        assert_eq!(count(&store, "COUNT(*) FROM sexton_history WHERE verdict = 'completed'").await, tasks);
        assert_eq!(count(&store, "COUNT(DISTINCT task_id) FROM sexton_history WHERE verdict = 'completed'").await, tasks);
        // The followers ran after what they waited for.
        let rows: Vec<_> = history(&store).await.into_iter().filter(|row| row.outcome == Outcome::Succeeded).collect();
        for (index, _) in STEPS.iter().enumerate() {
            let group = format!("g{index}");
            let place = |place: usize| {
                let payload = serde_json::json!(format!("{group} {place}"));
                rows.iter().position(|row| row.payload.as_ref().is_some_and(|known| *known == payload)).unwrap()
            };
            let last = rows.iter().rposition(|row| row.group_name.as_deref() == Some(&group)).unwrap();
            assert!(last < place(0) && place(0) < place(1) && place(1) < place(2) && place(2) < place(3), "{group}");
        }
    }

    async fn a_command_knows_the_result_of_the_task_before_it(database: Database) {
        database.store().await;
        let file = database.config("n", SETTINGS);
        let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
        let import = call(&["task", "add", "import", "--in", "1h", "--json"]).json()["id"].to_string();
        let added = call(&["task", "add", "index", "--payload", "{\"a\": 1}", "--after", &import]);
        let text = added.text();
        assert!(text.ends_with(&format!(" is enqueued, but it waits for the success of task {import} (import, scheduled)\n")), "{text}{}", added.errors());
        let index = (import.parse::<i64>().unwrap() + 1).to_string();
        let shown = call(&["task", "show", &index, "--json"]).json();
        assert_eq!((&shown["waits_code"], &shown["after"][0]["name"]), (&"predecessors".into(), &"import".into()));
        let listed = call(&["task", "list", "--state", "waiting", "--json"]).json();
        assert_eq!(listed[0]["id"].to_string(), index);
        assert!(call(&["task", "show", &import]).text().contains(&format!("task {index} (index) waits for it")));
        assert!(call(&["summary"]).text().contains("Tasks that wait for others:"));
        let refused = call(&["task", "add", "index", "--after", "4711"]);
        assert!(!refused.status.success() && refused.errors().contains("there is no task 4711"), "{}", refused.errors());
        let alone = call(&["task", "add", "index", "--any"]);
        assert!(alone.errors().contains("--when and --any need --after"), "{}", alone.errors());
        let daemon = Daemon::start(&file, &["run"]);
        assert!(call(&["task", "retry", &import]).status.success());
        let waited = call(&["task", "wait", &index, "--timeout", "60s"]);
        assert!(waited.status.success(), "{}{}", waited.text(), waited.errors());
        let output = call(&["task", "log", &index]).text();
        let told = output.split_once(" [").map(|(payload, told)| (payload.to_owned(), format!("[{told}"))).unwrap();
        assert!(told.0.ends_with("{\"a\": 1}") || told.0.ends_with("{\"a\":1}"), "the payload is unchanged: {output}");
        let told: serde_json::Value = serde_json::from_str(&told.1).unwrap();
        assert_eq!((&told[0]["task"], &told[0]["result"]["rows"]), (&"import".into(), &7.into()));
        assert!(call(&["task", "show", &index]).text().contains(&format!("after task {import} (import), which ended as succeeded")));
        daemon.stop();
    }

    async fn failed_members_are_retried_and_the_task_after_them_waits_again(database: Database) {
        let store = database.store().await;
        let mended = database.folder.path().join("mended");
        let settings = format!(
            "{SETTINGS}[task.resize]\ncommand = [\"test\", \"-e\", \"{}\"]\nmax_attempts = 1\n",
            mended.display()
        );
        let file = database.config("n", &settings);
        let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
        for number in ["1", "2", "3"] {
            assert!(call(&["task", "add", "resize", "--payload", number, "--group", "album"]).status.success());
        }
        assert!(call(&["task", "add", "nothing", "--group", "album"]).status.success());
        assert!(call(&["task", "add", "index", "--payload", "7", "--after-group", "album"]).status.success());
        assert!(call(&["task", "add", "nothing", "--after-group", "album", "--when", "failure"]).status.success());
        let daemon = Daemon::start(&file, &["run"]);
        let over = async || count(&store, "COUNT(*) FROM sexton_task").await == 0;
        eventually("the group has failed", over).await;
        let counts = store.group("album").await.unwrap().unwrap();
        assert_eq!((counts.completed, counts.failed), (1, 3));
        let dry = call(&["group", "retry", "album", "--dry-run", "--json"]).json();
        assert_eq!((&dry["enqueued"], &dry["waiting"]), (&3.into(), &1.into()));
        std::fs::write(&mended, "").unwrap();
        let retried = call(&["group", "retry", "album", "--reason", "mended", "--json"]).json();
        assert_eq!((&retried["enqueued"], &retried["waiting"], &retried["refused"]), (&3.into(), &1.into(), &0.into()));
        eventually("the group has succeeded", over).await;
        let counts = store.group("album").await.unwrap().unwrap();
        assert_eq!((counts.completed, counts.failed, counts.cancelled), (4, 0, 0), "each counts as its new task");
        let rows = history(&store).await;
        let last = rows.last().unwrap();
        assert_eq!((last.name.as_str(), last.outcome), ("index", Outcome::Succeeded), "after all members");
        assert_eq!(last.payload.as_ref().unwrap().get(), "7");
        assert_eq!(rows.iter().filter(|row| row.name == "nothing").count(), 2, "what ran after the failure is not repeated");
        assert_eq!(count(&store, "COUNT(*) FROM sexton_audit WHERE action = 'retry' AND reason = 'mended'").await, 4);
        let again = call(&["group", "retry", "album"]).text();
        assert!(again.starts_with("0 failed members enqueued again, and 0 skipped tasks after the group"), "{again}");
        assert!(call(&["group", "retry", "albun"]).errors().contains("there is no group `albun`"));
        daemon.stop();
    }

    async fn groups_are_listed_shown_and_cancelled(database: Database) {
        let store = database.store().await;
        let file = database.config("n", SETTINGS);
        let call = |arguments: &[&str]| sexton(&file).args(arguments).output().unwrap();
        for _ in 0..3 {
            assert!(call(&["task", "add", "nothing", "--group", "album"]).status.success());
        }
        let added = call(&["task", "add", "index", "--after-group", "album"]).text();
        assert!(added.contains("it waits for the success of group album"), "{added}");
        let listed = call(&["group", "list", "--json"]).json();
        assert_eq!((&listed[0]["name"], &listed[0]["waiting"], &listed[0]["followers"]), (&"album".into(), &3.into(), &1.into()));
        let shown = call(&["group", "show", "album"]).text();
        assert!(shown.starts_with("Group album: 3 waiting, 0 running, 0 completed, 0 failed, 0 cancelled or skipped\ntask 4 (index) waits for it\n"), "{shown}");
        let unknown = call(&["group", "show", "albun"]).errors();
        assert!(unknown.contains("there is no group `albun`") && unknown.contains("album"), "{unknown}");
        assert!(call(&["group", "cancel", "album"]).text().starts_with("3 tasks cancelled"));
        let last = store.last_row(4).await.unwrap().unwrap();
        assert_eq!((last.outcome, last.reason_code.as_deref()), (Outcome::Skipped, Some("predecessor")));
        let added = call(&["task", "add", "index", "--after-group", "album"]).text();
        assert!(added.contains("it is skipped at once: group album ended as cancelled"), "{added}");
    }
}
