//! `payload_schema`: what payloads have to fit, at the enqueue and at the attempt.

use std::fs;

use sea_orm::ConnectionTrait as _;
use sexton::{Client, NewTask};
use sexton_entities::states::{Outcome, Verdict};

use super::{call, done, refused};
use crate::{
    daemon::{completed, history},
    support::{
        Daemon, Database, Inside, Kind, Printed as _, block_on, blueprint, eventually, on_each_database, sexton,
    },
};

const SETTINGS: &str = "poll_interval = \"50ms\"\n[task.invoice]\nkind = \"noop\"\nmax_attempts = 5\n\
                        [task.invoice.payload_schema]\ntype = \"object\"\nrequired = [\"order\"]\nadditionalProperties = false\n\
                        properties.order = { type = \"integer\", minimum = 1 }\n";

on_each_database! {
    async fn a_payload_that_does_not_fit_is_refused_or_discarded(database: Database) {
        let store = database.store().await;
        let file = database.config("n", SETTINGS);
        let daemon = Daemon::start(&file, &["run"]);
        let said = refused(&file, &["task", "add", "invoice", "--payload", "{\"order\": \"secret\"}"]);
        assert!(said.contains("the payload does not fit `payload_schema`: /order: "), "{said}");
        assert!(!said.contains("secret"), "{said}");
        let said = refused(&file, &["task", "add", "invoice"]);
        assert!(said.contains("the task has no payload; its schema wants an object"), "{said}");
        let (order, at) = (database.folder.path().join("order.json"), format!("@{}/order.json", database.folder.path().display()));
        assert!(refused(&file, &["task", "add", "invoice", "--payload", &at]).contains("No such file"));
        fs::write(&order, "{\"order\": \n").unwrap();
        let said = refused(&file, &["task", "add", "invoice", "--payload", &at]);
        assert!(said.contains(&format!("the payload is not JSON: {at}")), "{said}");
        fs::write(&order, "{\"order\": 7}\n").unwrap();
        done(&file, &["task", "add", "invoice", "--payload", &at]);
        eventually("it is done", async || completed(&store).await == 1).await;
        let sent = call(&file, &["event", "send", "order.paid", "--payload", &at, "--json"]).json();
        let event = store.event(sent["id"].as_i64().unwrap()).await.unwrap().unwrap();
        assert_eq!(event.payload.unwrap().get().replace(' ', ""), "{\"order\":7}");
        let mut from_input = sexton(&file);
        from_input.args(["task", "add", "invoice", "--payload", "-"]).stdin(fs::File::open(&order).unwrap());
        assert!(from_input.status().unwrap().success());
        eventually("it is done", async || completed(&store).await == 2).await;
        // A client of its own does not know the definition, and plain SQL is not asked.
        Client::new(store.clone()).enqueue(NewTask::new("invoice").payload(serde_json::json!({"order": 0}))).await.unwrap();
        store.connection().execute_unprepared("INSERT INTO sexton_task (name) VALUES ('invoice')").await.unwrap();
        eventually("both are on record", async || history(&store).await.len() == 4).await;
        for row in history(&store).await.iter().skip(2) {
            assert_eq!((row.outcome, row.verdict, row.attempt), (Outcome::Failed, Some(Verdict::Discarded), 1), "{row:?}");
            assert!(row.error.as_ref().unwrap().starts_with("the payload does not fit `payload_schema`: "), "{row:?}");
        }
        let bad = history(&store).await[2].task_id.unwrap().to_string();
        let left = call(&file, &["task", "retry", &bad]);
        assert_eq!(left.status.code(), Some(1));
        let said = format!("task {bad} is not enqueued again: ");
        assert!(left.text().starts_with(&said) && left.text().contains("does not fit `payload_schema`"), "{}", left.text());
        let left = call(&file, &["task", "retry", "--discarded", "--json"]);
        assert_eq!((left.status.code(), &left.json()["enqueued"], &left.json()["refused"]), (Some(1), &0.into(), &2.into()));
        let words = call(&file, &["task", "retry", "--discarded"]).text();
        assert!(words.contains("; 2 tasks left that the definition refuses, first "), "{words}");
        let shown = refused(&file, &["schedule", "add", "nightly", "--task", "invoice", "--cron", "0 2 * * *"]);
        assert!(shown.contains("payload: the payload does not fit `payload_schema`"), "{shown}");
        done(&file, &["schedule", "add", "nightly", "--task", "invoice", "--cron", "0 2 * * *", "--payload", &at]);
        store.connection().execute_unprepared(
            "INSERT INTO sexton_schedule (name, task, cron, origin, payload) VALUES ('bad', 'invoice', '0 3 * * *', 'database', '{\"order\": -1}')",
        ).await.unwrap();
        eventually("it is shown with its mistake", async || {
            done(&file, &["schedule", "list"]).contains("payload: the payload does not fit `payload_schema`")
        }).await;
        daemon.stop();
    }
}

#[test]
fn a_client_inside_the_daemon_knows_the_definition() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let mut blueprint = blueprint(&database);
        let schema =
            sexton::domain::task::payload_schema::PayloadSchema::new(serde_json::json!({"type": "string"}), None);
        let nothing = blueprint.config.tasks.get_mut("nothing").unwrap();
        std::sync::Arc::make_mut(nothing).payload_schema = Some(schema.unwrap().into());
        let inside = Inside::start(blueprint);
        let client = inside.daemon.client.clone();
        let refused = client.enqueue(NewTask::new("nothing").payload(1)).await.unwrap_err().to_string();
        assert!(refused.contains("the payload does not fit `payload_schema`"), "{refused}");
        let tasks = vec![NewTask::new("nothing").payload("good"), NewTask::new("nothing")];
        assert!(client.enqueue_all(tasks).await.is_err(), "all or none");
        client.enqueue(NewTask::new("nothing").payload("good")).await.unwrap();
        assert_eq!(inside.stop(), 0);
    });
}

#[test]
fn a_broken_schema_is_a_mistake_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sexton.toml");
    let check = |text: &str| {
        fs::write(&file, format!("[database]\nurl = \"sqlite://{}/x.db\"\n{text}", folder.path().display())).unwrap();
        call(&file, &["config", "check"])
    };
    let inline = check(
        "[task.a]\nkind = \"noop\"\n[task.a.payload_schema]\ntype = \"object\"\nproperties.order = { type = \"integre\" }\n",
    );
    assert!(inline.errors().contains(":7: task.a.payload_schema.properties.order.type: "), "{}", inline.errors());
    let of_file = "[task.a]\nkind = \"noop\"\npayload_schema = \"order.json\"\n";
    assert!(check(of_file).errors().contains("task.a.payload_schema: cannot read "));
    fs::write(folder.path().join("order.json"), "{\"type\": 7}").unwrap();
    let broken = check(of_file);
    assert!(broken.errors().contains("order.json at /type: "), "{}", broken.errors());
    fs::write(folder.path().join("order.json"), "{\"$ref\": \"https://example.org/order.json\"}").unwrap();
    assert!(!check(of_file).status.success(), "nothing is fetched");
    fs::write(folder.path().join("order.json"), "{\"type\": \"object\"}").unwrap();
    assert!(check(of_file).status.success());
    // A schedule must bring what fits.
    let lacks = check(&format!("{of_file}schedule = {{ every = \"1h\" }}\n"));
    assert!(lacks.errors().contains("task.a.payload: the payload does not fit `payload_schema`"), "{}", lacks.errors());
    let table = check(&format!("{of_file}[schedule.b]\ntask = \"a\"\nevery = \"1h\"\npayload = 5\n"));
    assert!(table.errors().contains("schedule.b.payload: the payload does not fit"), "{}", table.errors());
    assert!(
        check("[task.a]\nkind = \"noop\"\npayload_schema = 7\n").errors().contains("expected a JSON Schema as a table")
    );
}

#[test]
fn a_changed_schema_file_is_put_in_force() {
    block_on(async {
        let database = Database::new(Kind::Sqlite).await;
        let file =
            database.config("n", "watch_config = true\n[task.a]\nkind = \"noop\"\npayload_schema = \"a.json\"\n");
        let schema = file.with_file_name("a.json");
        fs::write(&schema, "{\"type\": \"string\"}").unwrap();
        let daemon = Daemon::start(&file, &["run"]);
        fs::write(&schema, "{\"type\": \"integer\"}").unwrap();
        daemon.wait_for_log("the configuration is reloaded: tasks changed: a");
        daemon.stop();
    });
}
